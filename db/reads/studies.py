"""Studies and their runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
from sqlalchemy import Engine, case, func, select
from sqlalchemy.sql import ColumnElement

from db.live import newest
from db.models import AGAIN, AGAIN_OF, LARGEST_ID, STATES, Run, RunInput, Study, StudyRun
from db.reads.frames import RUN_COLUMNS, frame
from db.session import reader


@dataclass(frozen=True)
class StudyRecord:
    """One revision of a study."""

    id: int
    name: str
    revision: int
    document: dict[str, Any]
    created_at: datetime
    origin: str


def studies(engine: Engine) -> pd.DataFrame:
    """The newest revision of every study that is not in the trash, newest first, with its runs in each state.

    Columns: id, name, revision, origin, created_at, runs, blocked, and one for each state.
    """
    states = [_count_if(Run.state == state).label(state) for state in STATES]
    blocked = _count_if(Run.blocked_by.is_not(None)).label("blocked")
    shown = (Study.id, Study.name, Study.revision, Study.origin, Study.created_at)
    return frame(
        engine,
        select(*shown, func.count(Run.id).label("runs"), blocked, *states)
        .join(StudyRun, StudyRun.study_id == Study.id, isouter=True)
        .join(Run, (Run.id == StudyRun.run_id) & Run.trashed_at.is_(None), isouter=True)
        .where(Study.id.in_(newest()))
        .group_by(*shown)
        .order_by(Study.id.desc()),
    )


def _count_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((condition, 1)))


def settings(engine: Engine) -> list[tuple[str, dict[str, Any]]]:
    """(name, setting) of the newest revision of every study; the rest of their documents stays where it is."""
    query = select(Study.name, Study.document["setting"]).where(Study.id.in_(newest()))
    with reader(engine).connect() as c:
        return [(row[0], row[1] or {}) for row in c.execute(query.order_by(Study.id))]


def study(engine: Engine, name: str, revision: int | None = None) -> StudyRecord | None:
    """A study's newest revision, or the given one; None where there is none, or it is in the trash."""
    columns = (Study.id, Study.name, Study.revision, Study.document, Study.created_at, Study.origin)
    query = select(*columns).where(Study.name == name, Study.trashed_at.is_(None))
    if revision is not None:
        query = query.where(Study.revision == revision)
    with reader(engine).connect() as c:
        row = c.execute(query.order_by(Study.revision.desc()).limit(1)).mappings().one_or_none()
    return None if row is None else StudyRecord(**row)


def was_imported(engine: Engine, name: str) -> bool:
    """Whether the study of that name was imported, also where it is in the trash; False where there is none."""
    query = select(Study.origin).where(Study.name == name).order_by(Study.revision.desc())
    with reader(engine).connect() as c:
        return bool(c.execute(query.limit(1)).scalar() == "imported")


def revisions(engine: Engine, name: str) -> pd.DataFrame:
    """All revisions of a study, newest first: id, revision, created_at."""
    query = select(Study.id, Study.revision, Study.created_at)
    query = query.where(Study.name == name, Study.trashed_at.is_(None))
    return frame(engine, query.order_by(Study.revision.desc()))


def study_runs(engine: Engine, study_id: int) -> pd.DataFrame:
    """A study's runs in the order in which they were planned; `parent` is the parent's number.

    Runs in the trash are left out: to the frontier they are missing, now as after the trash is emptied.
    """
    return frame(
        engine,
        select(*RUN_COLUMNS, StudyRun.position)
        .join(StudyRun, StudyRun.run_id == Run.id)
        .where(StudyRun.study_id == study_id, Run.trashed_at.is_(None))
        .order_by(StudyRun.position),
    )


def last_finished(engine: Engine, study_id: int) -> datetime | None:
    """When the last of a study's runs ended; None where none has."""
    query = select(func.max(Run.finished_at)).join(StudyRun, StudyRun.run_id == Run.id)
    query = query.where(StudyRun.study_id == study_id, Run.trashed_at.is_(None))
    with reader(engine).connect() as c:
        found: datetime | None = c.execute(query).scalar()
    return found


def study_runs_in(engine: Engine, study_id: int, states: Sequence[str]) -> list[int]:
    """The numbers of a study's runs in these states."""
    query = select(Run.id).join(StudyRun, StudyRun.run_id == Run.id)
    query = query.where(StudyRun.study_id == study_id, Run.state.in_(list(states)))
    with reader(engine).connect() as c:
        return list(c.execute(query.where(Run.trashed_at.is_(None)).order_by(Run.id)).scalars())


def inputs(engine: Engine, study_id: int) -> pd.DataFrame:
    """What a study's runs need besides their parents: run, role, position, input."""
    columns = (RunInput.run_id.label("run"), RunInput.role, RunInput.position)
    return frame(
        engine,
        select(*columns, RunInput.input_id.label("input"))
        .join(StudyRun, StudyRun.run_id == RunInput.run_id)
        .where(StudyRun.study_id == study_id, RunInput.role.not_in((AGAIN, AGAIN_OF)))
        .order_by(RunInput.run_id, RunInput.role, RunInput.position),
    )


def run(engine: Engine, run_id: int) -> dict[str, Any] | None:
    """Everything that a run's row holds; None where there is none.

    Besides the columns: `parent` (id, fingerprint, stage, name) or None, `inputs` {role: [(id,
    fingerprint)]}, `children` [ids], `studies` [names].
    """
    above = Run.__table__.alias()
    if not 0 < run_id <= LARGEST_ID:
        return None  # PostgreSQL would not even compare it
    with reader(engine).connect() as c:
        row = c.execute(select(Run.__table__).where(Run.id == run_id)).mappings().one_or_none()
        if row is None:
            return None
        parent = c.execute(
            select(Run.id, Run.fingerprint, Run.stage, Run.name).where(Run.id == row["parent_id"])
        )
        needs = c.execute(
            select(RunInput.role, above.c.id, above.c.fingerprint)
            .join(above, above.c.id == RunInput.input_id)
            .where(RunInput.run_id == run_id, RunInput.role.not_in((AGAIN, AGAIN_OF)))
            .order_by(RunInput.role, RunInput.position)
        )
        children = c.execute(select(Run.id).where(Run.parent_id == run_id).order_by(Run.id))
        names = select(Study.name).join(StudyRun, StudyRun.study_id == Study.id).distinct()
        names = names.where(Study.trashed_at.is_(None))
        found: dict[str, list[tuple[int, str]]] = {}
        for role, input_id, fingerprint in needs:
            found.setdefault(role, []).append((input_id, fingerprint))
        above_row = parent.mappings().one_or_none()
        return {
            **row,
            "parent": None if above_row is None else dict(above_row),
            "inputs": found,
            "children": list(children.scalars()),
            "studies": list(c.execute(names.where(StudyRun.run_id == run_id)).scalars()),
        }


def made_again(engine: Engine, run_id: int) -> tuple[int, str] | None:
    """(number, fingerprint) of the run whose removed model this one makes again; None where it is no such run."""
    query = select(Run.id, Run.fingerprint).join(RunInput, RunInput.input_id == Run.id)
    with reader(engine).connect() as c:
        mine = query.where(RunInput.run_id == run_id, RunInput.role == AGAIN_OF)
        row = c.execute(mine).one_or_none()
    return None if row is None else (row.id, row.fingerprint)


def run_by_fingerprint(engine: Engine, fingerprint: str) -> int | None:
    """The number of the run of that name; None where there is none."""
    with reader(engine).connect() as c:
        return c.execute(select(Run.id).where(Run.fingerprint == fingerprint)).scalar()


def fingerprints(engine: Engine, run_ids: Sequence[int] | None = None) -> dict[int, str]:
    """Run number → fingerprint, of some runs or of all."""
    query = select(Run.id, Run.fingerprint)
    if run_ids is not None:
        query = query.where(Run.id.in_([int(run_id) for run_id in run_ids]))
    with reader(engine).connect() as c:
        return {row[0]: row[1] for row in c.execute(query)}


def existing(engine: Engine) -> set[str]:
    """The fingerprints of all runs."""
    return set(fingerprints(engine).values())
