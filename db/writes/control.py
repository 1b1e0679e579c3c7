"""What people do to the queue: cancel, retry, pause, reorder, delete."""

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from db.models import AGAIN as WAITED_FOR
from db.models import Artifact, Flag, Run, RunInput, Study, StudyRun
from db.session import DatabaseProblem, NotThere
from db.writes.again import make_again
from db.writes.guarded import needs
from db.writes.rows import (
    AGAIN,
    ANEW,
    BAD,
    block,
    built_on,
    clock,
    event,
    events,
    in_parts,
    sweep,
    upsert,
)

IDENTITY = "identity"  # the flag that holds the database's name


@dataclass(frozen=True)
class Deleted:
    """How many runs went, the files that the caller may now remove, and the runs' fingerprints."""

    runs: int
    files: list[str]
    fingerprints: list[str] = field(default_factory=list)


@needs("runner")
def request_cancel(engine: Engine, run_ids: Iterable[int]) -> int:
    """Cancel waiting runs at once and ask running ones to stop; how many runs that were."""
    count = 0
    with engine.begin() as c:
        for part in in_parts(run_ids):
            waiting = (
                update(Run)
                .where(Run.id.in_(part), Run.state == "waiting")
                .values(state="cancelled", finished_at=clock(c), blocked_by=None)
            )
            running = (
                update(Run)
                .where(Run.id.in_(part), Run.state == "running")
                .values(cancel_requested=True)
            )
            gone = list(c.execute(waiting.returning(Run.id)).scalars())
            asked = list(c.execute(running.returning(Run.id)).scalars())
            events(c, "cancelled", "", gone)
            events(c, "cancel requested", "", asked)
            count += len(gone) + len(asked)
        block(c)
    return count


@needs("runner")
def retry(
    engine: Engine, run_ids: Iterable[int], fresh: bool = False, remake: Collection[int] = ()
) -> int:
    """Put failed and cancelled runs back in the queue with three more attempts; how many that were.

    They go on from their resume state, unless `fresh`. Of the runs in `remake` a model that was removed is made again.
    """
    values = {**AGAIN, **(ANEW if fresh else {})}
    with engine.begin() as c:
        count = make_again(c, remake)
        for part in in_parts(run_ids):
            bad = (Run.id.in_(part), Run.state.in_(BAD), Run.trashed_at.is_(None))
            back = update(Run).where(*bad).values(values)
            ids = list(c.execute(back.returning(Run.id)).scalars())
            events(c, "retried", "from its start" if fresh else "", ids)
            count += len(ids)
        make_again(c)
        block(c)
    return count


@needs("runner")
def set_paused(engine: Engine, paused: bool) -> None:
    """Stop or resume claiming; what runs goes on."""
    with engine.begin() as c:
        upsert(c, Flag, [{"name": "paused", "value": "yes" if paused else "no"}])
        event(c, "paused" if paused else "continued", "")


@needs("viewer")
def set_flag(engine: Engine, name: str, value: str) -> None:
    """Turn a switch of this database, such as what its reader has already seen."""
    with engine.begin() as c:
        upsert(c, Flag, [{"name": name, "value": value}])


def identity(engine: Engine) -> str:
    """A name that no other database has, made at the first asking."""
    with engine.begin() as c:
        known = select(Flag.value).where(Flag.name == IDENTITY)
        found = c.execute(known).scalar()
        if found is None:
            dialect = sqlite if c.dialect.name == "sqlite" else postgresql
            row = dialect.insert(Flag).values(name=IDENTITY, value=uuid.uuid4().hex)
            c.execute(row.on_conflict_do_nothing())  # another worker may be faster
            found = c.execute(known).scalar_one()
    return str(found)


@needs("runner")
def set_priority(engine: Engine, run_ids: Iterable[int], priority: int) -> int:
    """Let these waiting runs go before (or after) the others; how many that were."""
    count = 0
    with engine.begin() as c:
        for part in in_parts(run_ids):
            waiting = (Run.id.in_(part), Run.state == "waiting")
            count += c.execute(update(Run).where(*waiting).values(priority=priority)).rowcount
        event(c, "priority", f"{count} runs now have priority {priority}")
    return count


@needs("admin")
def delete_study(engine: Engine, name: str) -> Deleted:
    """Remove all revisions of a study and the runs that no other study has, with what was made of them outside of any.

    Raises:
        DatabaseProblem: there is no such study, or one of those runs is running
    """
    with engine.begin() as c:
        studies = list(c.execute(select(Study.id).where(Study.name == name)).scalars())
        if not studies:
            raise NotThere(f"There is no study {name!r} in the database.")
        mine = select(StudyRun.run_id).where(StudyRun.study_id.in_(studies))
        others = select(StudyRun.run_id).where(StudyRun.study_id.not_in(studies))
        own = select(Run.id).where(Run.id.in_(mine), Run.id.not_in(others))
        lost = _with_built_on(c, set(c.execute(own).scalars()))
        query = select(Run.id, Run.state, Run.fingerprint).order_by(Run.id.desc())
        rows = [row for part in in_parts(lost) for row in c.execute(query.where(Run.id.in_(part)))]
        if any(row.state == "running" for row in rows):
            raise DatabaseProblem(f"{name} has running runs; cancel them first.")
        c.execute(delete(Study).where(Study.id.in_(studies)))
        files = delete_runs(c, [row.id for row in rows])
        sweep(c)  # runs that are left to studies in the trash only
        event(c, "deleted", f"{name}: {len(rows)} runs that no other study has")
    return Deleted(len(rows), files, [row.fingerprint for row in rows])


def _with_built_on(c: Connection, run_ids: set[int]) -> list[int]:
    """The runs, and all runs of no study that were built on them, the latest first."""
    found, fresh = set(run_ids), set(run_ids)
    while fresh:
        reached = {one for part in in_parts(fresh) for one in c.execute(select(Run.id).where(built_on(part))).scalars()}  # fmt: skip
        fresh = reached - found
        found |= fresh
    return sorted(found, reverse=True)


def delete_runs(c: Connection, ids: list[int]) -> list[str]:
    """Delete the runs, children first, and say which files they leave behind."""
    files: list[str] = []
    for part in in_parts(ids):
        files += c.execute(select(Artifact.path).where(Artifact.run_id.in_(part))).scalars()
        c.execute(delete(StudyRun).where(StudyRun.run_id.in_(part)))
        c.execute(
            delete(RunInput).where(RunInput.run_id.in_(part))
        )  # of runs that wait for later ones
        # What another run's model was once made by is no part of it.
        served = (RunInput.input_id.in_(part), RunInput.role == WAITED_FOR)
        c.execute(delete(RunInput).where(*served))
        c.execute(update(Run).where(Run.blocked_by.in_(part)).values(blocked_by=None))
    for run_id in ids:  # later runs refer to earlier ones, so the list begins with the latest
        c.execute(delete(Run).where(Run.id == run_id))
    return files
