"""The list of runs, a page at a time: counted, filtered and sorted by the database."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import Engine, case, func, select
from sqlalchemy.orm import aliased

from db.live import newest
from db.models import Measurement, Run, Study, StudyRun
from db.reads.frames import frame, value
from db.reads.run_columns import METRIC, column
from db.reads.run_conditions import Condition, where
from db.session import reader

MOST_VALUES = 10_000  # in one IN list; SQLite takes 32,766


class RunPage(NamedTuple):
    """A page of the list, how many runs match, and how many there are (trash and archive apart)."""

    rows: pd.DataFrame
    matching: int
    total: int


def run_page(
    engine: Engine,
    conditions: Sequence[Condition] = (),
    columns: Sequence[str] = ("id",),
    sort: str = "id",
    descending: bool = True,
    limit: int = 50,
    offset: int = 0,
) -> RunPage:
    """The runs that meet all conditions, in order, from `offset` on: `id` and the columns asked for.

    Whatever the direction, runs without a value come last; equal ones stand newest first.

    Raises:
        KeyError: there is no column of that name (see `db.reads.run_columns`)
    """
    dialect = engine.dialect.name
    wanted = dict.fromkeys(("id", *columns))
    shown = [column(name, dialect).label(name) for name in wanted]
    order = column(sort, dialect, sorting=True)
    order = (order.desc() if descending else order.asc()).nulls_last()
    query = select(*shown).where(where(conditions, dialect)).order_by(order, Run.id.desc())
    rows = frame(engine, query.limit(limit).offset(offset))
    return RunPage(rows, matching(engine, conditions), matching(engine, ()))


def matching(engine: Engine, conditions: Sequence[Condition]) -> int:
    """How many runs meet all conditions."""
    query = select(func.count()).select_from(Run).where(where(conditions, engine.dialect.name))
    return int(value(engine, query) or 0)


def matching_ids(engine: Engine, conditions: Sequence[Condition]) -> list[int]:
    """The numbers of all runs that meet all conditions."""
    query = select(Run.id).where(where(conditions, engine.dialect.name)).order_by(Run.id)
    with reader(engine).connect() as c:
        return list(c.execute(query).scalars())


def parameter_names(engine: Engine) -> list[str]:
    """The names of all parameters that any run has, in alphabetical order."""
    if engine.dialect.name == "sqlite":
        keys = func.json_each(Run.parameters).table_valued("key", joins_implicitly=True)
        query = select(keys.c.key).select_from(Run, keys).distinct()
    else:
        query = select(func.jsonb_object_keys(Run.parameters)).distinct()
    with reader(engine).connect() as c:
        return sorted(str(name) for name in c.execute(query).scalars())


def metric_names(engine: Engine) -> list[str]:
    """`metric@split` of what runs measured, in alphabetical order.

    One finished run of every kind, study and set of parameters' names stands for the others: to look at millions of
    rows would take a second.
    """
    kinds = select(func.max(Run.id)).join(StudyRun, StudyRun.run_id == Run.id)
    kinds = kinds.where(Run.state == "complete", StudyRun.study_id.in_(newest()))
    kinds = kinds.group_by(StudyRun.study_id, Run.stage, Run.name)
    M = Measurement
    query = select(M.metric, M.split).where(M.run_id.in_(kinds), M.category == "").distinct()
    with reader(engine).connect() as c:
        return sorted(f"{metric}{METRIC}{split}" for metric, split in c.execute(query))


def studies_of(engine: Engine, run_ids: Sequence[int]) -> dict[str, list[int]]:
    """Study → those of the runs that its newest revision has; the newest study first."""
    query = select(Study.id, Study.name, StudyRun.run_id)
    query = query.join(StudyRun, StudyRun.study_id == Study.id).where(Study.id.in_(newest()))
    rows: list[Any] = []
    with reader(engine).connect() as c:
        for part in _in_parts(run_ids):
            rows += c.execute(query.where(StudyRun.run_id.in_(part))).all()
    found: dict[str, list[int]] = {}
    for _, name, run_id in sorted(rows, key=lambda row: (-row[0], row[2])):
        found.setdefault(name, []).append(run_id)
    return found


def model_fingerprints(engine: Engine, run_ids: Sequence[int]) -> dict[int, str]:
    """Run → the fingerprint of the model that it is, or that it evaluates or attacks."""
    above = aliased(Run)
    looks = Run.stage.in_(("evaluate", "attack"))
    query = select(Run.id, case((looks, above.fingerprint), else_=Run.fingerprint))
    query = query.join(above, above.id == Run.parent_id, isouter=True)
    found: dict[int, str] = {}
    with reader(engine).connect() as c:
        for part in _in_parts(run_ids):
            found |= {row[0]: row[1] for row in c.execute(query.where(Run.id.in_(part)))}
    return found


def _in_parts(run_ids: Sequence[int]) -> Iterator[list[int]]:
    held = [int(run_id) for run_id in run_ids]
    for start in range(0, len(held), MOST_VALUES):
        yield held[start : start + MOST_VALUES]
