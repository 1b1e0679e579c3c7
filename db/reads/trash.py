"""What is in the trash, and what would go there."""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd
from sqlalchemy import Engine, func, select

from db.models import Artifact, Measurement, Run, Study, StudyRun
from db.reads.frames import RUN_COLUMNS, frame, value
from db.session import reader
from db.trash_rules import Removal, removal


@dataclass(frozen=True)
class Trash:
    """What the trash holds, and what emptying it would free: runs, measurement rows, bytes of files that are noted."""

    studies: pd.DataFrame
    runs: int
    measurements: int
    bytes: int


def trash(engine: Engine) -> Trash:
    """What is in the trash. Columns of `studies`: name, revisions, runs (those in the trash), trashed_at."""
    counts = (func.count(Study.id.distinct()).label("revisions"), func.count(Run.id.distinct()).label("runs"))  # fmt: skip
    studies = frame(
        engine,
        select(Study.name, *counts, func.max(Study.trashed_at).label("trashed_at"))
        .join(StudyRun, StudyRun.study_id == Study.id, isouter=True)
        .join(Run, (Run.id == StudyRun.run_id) & Run.trashed_at.is_not(None), isouter=True)
        .where(Study.trashed_at.is_not(None))
        .group_by(Study.name)
        .order_by(Study.name),
    )
    gone = select(Run.id).where(Run.trashed_at.is_not(None))
    runs = value(engine, select(func.count()).select_from(gone.subquery()))
    rows = select(func.count()).where(Measurement.run_id.in_(gone))
    size = select(func.sum(Artifact.bytes)).where(Artifact.run_id.in_(gone))
    return Trash(studies, int(runs or 0), int(value(engine, rows) or 0), int(value(engine, size) or 0))  # fmt: skip


def trashed_runs(engine: Engine, limit: int = 200) -> pd.DataFrame:
    """Runs in the trash that some study outside it still names, the latest first: those that were deleted one by one."""
    live = select(StudyRun.run_id).join(Study, Study.id == StudyRun.study_id)
    live = live.where(Study.trashed_at.is_(None))
    query = select(*RUN_COLUMNS, Run.trashed_at)
    query = query.where(Run.trashed_at.is_not(None), Run.id.in_(live))
    return frame(engine, query.order_by(Run.trashed_at.desc(), Run.id.desc()).limit(limit))


def removal_of(engine: Engine, run_ids: Collection[int]) -> Removal:
    """What deleting these runs would do (see `db.trash_rules`)."""
    with reader(engine).connect() as c:
        return removal(c, run_ids)
