"""What all reads share: rows as DataFrames, in a transaction that takes no lock."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
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
    Run.memory_need,
    Run.expected_seconds,
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
WHOLE = (
    "parent", "blocked_by", "memory_need", "step", "steps_total", "steps", "tokens", "peak_memory", "run_id"
)  # fmt: skip


def frame(engine: Engine, query: Any) -> pd.DataFrame:
    """The rows of a query as a DataFrame."""
    with reader(engine).connect() as c, _no_collection():
        result = c.execute(query)
        names = list(result.keys())
        columns = _transposed(result.all(), len(names))
    found = pd.DataFrame(dict(zip(names, columns, strict=True)), columns=names)
    for name in (name for name in WHOLE if name in found):
        found[name] = found[name].astype("Int64")
    return found


def numbers(engine: Engine, query: Any) -> dict[str, np.ndarray]:
    """The columns of a query for numbers only, as float64; the fastest way to very many rows."""
    with reader(engine).connect() as c, _no_collection():
        result = c.execute(query)
        names = list(result.keys())
        # Straight from the driver: numbers need no conversion, and millions of rows no objects.
        columns = _transposed(result.cursor.fetchall(), len(names))
    return {n: np.array(v, dtype=float) for n, v in zip(names, columns, strict=True)}


def _transposed(rows: Sequence[Any], width: int) -> list[Any]:
    return list(zip(*rows, strict=True)) if rows else [()] * width


@contextmanager
def _no_collection() -> Iterator[None]:
    """Python would look for garbage again and again among rows that are all alive."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def value(engine: Engine, query: Any) -> Any:
    """The one value that a query gives; None where it gives no row."""
    with reader(engine).connect() as c:
        return c.execute(query).scalar()
