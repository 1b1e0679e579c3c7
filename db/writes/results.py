"""What a run leaves behind, stored only for the attempt that holds the run."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, delete, select, update

from db.arrays import encode
from db.models import Artifact, ItemValues, Measurement, Run, Sample, Table
from db.writes.rows import clock, upsert

RESULTS: tuple[type[Any], ...] = (Measurement, ItemValues, Sample)
OPTIONAL: dict[type[Table], dict[str, Any]] = {
    Measurement: {"category": "", "step": 0, "value": None, "standard_error": None, "items": None},
    ItemValues: {"step": 0},
    Sample: {"category": "", "correct": None},
}


def begin(
    engine: Engine, run_id: int, attempt: int, environment: dict[str, Any], from_step: int
) -> bool:
    """Note where the run is done, and drop what earlier attempts left beyond the step it goes on from.

    All of it goes where the run starts anew (`from_step` 0). False where another attempt holds it.
    """
    with engine.begin() as c:
        values = {"environment": environment, "started_at": clock(c)}
        values |= {"step": from_step or None, "message": None}  # not those of an earlier attempt
        guard = (Run.id == run_id, Run.attempt == attempt, Run.state == "running")
        if not c.execute(update(Run).where(*guard).values(values)).rowcount:
            return False
        for table in RESULTS:
            stale = [table.step > from_step] if from_step else []
            c.execute(delete(table).where(table.run_id == run_id, *stale))
    return True


def record(
    engine: Engine,
    run_id: int,
    attempt: int,
    measurements: Sequence[Mapping[str, Any]] = (),
    items: Sequence[Mapping[str, Any]] = (),
    samples: Sequence[Mapping[str, Any]] = (),
) -> bool:
    """Store results of the attempt that holds the run; False, and nothing stored, for any other one.

    A row that exists is overwritten. `items` carry `values`, an array; everything else is a column.
    """
    encoded = [
        {key: value for key, value in row.items() if key != "values"}
        | {"count": len(row["values"]), "data": encode(row["values"])}
        for row in items
    ]
    stamp = {"run_id": run_id, "attempt": attempt}
    guard = (Run.id == run_id, Run.attempt == attempt, Run.state == "running")
    with engine.begin() as c:
        # The row's lock keeps a reaper out until these rows are in (SQLite has one lock anyway).
        if c.execute(select(Run.id).where(*guard).with_for_update()).scalar() is None:
            return False
        for table, rows in zip(RESULTS, (measurements, encoded, samples), strict=True):
            full = [{**OPTIONAL[table], **_finite(row), **stamp} for row in rows]
            upsert(c, table, full)
    return True


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """NaN is no number: it is stored as a missing one."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in row.items()
    }


def add_artifacts(
    engine: Engine, run_id: int, attempt: int, artifacts: Sequence[Mapping[str, Any]]
) -> None:
    """Note files of a run: mappings with kind, path, bytes and sha256."""
    with engine.begin() as c:
        store_artifacts(c, run_id, attempt, artifacts)


def store_artifacts(
    c: Connection, run_id: int, attempt: int, artifacts: Sequence[Mapping[str, Any]]
) -> None:
    """The same inside a transaction."""
    stamp = {"run_id": run_id, "attempt": attempt, "created_at": clock(c)}
    upsert(c, Artifact, [{**file, **stamp} for file in artifacts])
