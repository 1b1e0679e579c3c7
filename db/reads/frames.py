"""What all reads share: rows as DataFrames, in a transaction that takes no lock."""

from typing import Any

import pandas as pd
from sqlalchemy import Engine

from db.models import Run
from db.session import reader

RUN_COLUMNS: tuple[Any, ...] = (
    Run.id,
    Run.fingerprint,
    Run.stage,
    Run.name,
    Run.version,
    Run.parameters,
    Run.seed,
    Run.parent_id.label("parent"),
    Run.state,
    Run.blocked_by,
    Run.attempt,
    Run.priority,
    Run.seconds,
    Run.flops,
    Run.steps,
    Run.tokens,
    Run.peak_memory,
    Run.error,
    Run.note,
    Run.step,
    Run.steps_total,
    Run.message,
    Run.created_at,
    Run.started_at,
    Run.finished_at,
    Run.origin,
)
# Whole numbers that may be missing: pandas would turn them into floats.
WHOLE = ("parent", "blocked_by", "step", "steps_total", "steps", "tokens", "peak_memory", "run_id")


def frame(engine: Engine, query: Any) -> pd.DataFrame:
    """The rows of a query as a DataFrame."""
    with reader(engine).connect() as c:
        result = c.execute(query)
        names = list(result.keys())
        found = pd.DataFrame(result.all(), columns=names)
    for name in (name for name in WHOLE if name in found):
        found[name] = found[name].astype("Int64")
    return found


def value(engine: Engine, query: Any) -> Any:
    """The one value that a query gives; None where it gives no row."""
    with reader(engine).connect() as c:
        return c.execute(query).scalar()
