"""Whole tables, for exports and backups, and what the files of the data directory belong to."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from sqlalchemy import Engine, func, select

from db.arrays import decode
from db.models import MODEL_FILE, Artifact, ItemValues, Run, Table
from db.reads.frames import frame
from db.session import reader

AT_ONCE = 5_000


def row_counts(engine: Engine) -> dict[str, int]:
    """How many rows every table has, by name."""
    with reader(engine).connect() as c:
        return {
            name: int(c.execute(select(func.count()).select_from(table)).scalar() or 0)
            for name, table in sorted(Table.metadata.tables.items())
        }


def columns_of(name: str) -> list[str]:
    """The columns of a table; arrays of item values are one called `values`."""
    columns = [column.name for column in Table.metadata.tables[name].columns]
    return ["values" if _packed(name, column) else column for column in columns]


def rows_of(engine: Engine, name: str) -> Iterator[tuple[Any, ...]]:
    """Every row of a table in the order of its key, arrays of item values as lists of numbers."""
    table = Table.metadata.tables[name]
    unpacked = [_packed(name, column.name) for column in table.columns]
    query = select(table).order_by(*table.primary_key).execution_options(yield_per=AT_ONCE)
    with reader(engine).connect() as c:
        for row in c.execute(query):
            pairs = zip(row, unpacked, strict=True)
            yield tuple(decode(cell).tolist() if packed else cell for cell, packed in pairs)


def _packed(table: str, column: str) -> bool:
    return table == ItemValues.__tablename__ and column == ItemValues.data.name


def run_states(engine: Engine) -> pd.DataFrame:
    """What every run's files belong to: fingerprint, id, state, stage, name."""
    return frame(engine, select(Run.fingerprint, Run.id, Run.state, Run.stage, Run.name))


def model_files(engine: Engine) -> pd.DataFrame:
    """The stored model of every complete run: run, path in the data directory, sha256, bytes."""
    columns = (Artifact.run_id.label("run"), Artifact.path, Artifact.sha256, Artifact.bytes)
    query = select(*columns).join(Run, Run.id == Artifact.run_id)
    wanted = query.where(Run.state == "complete", Artifact.kind == MODEL_FILE)
    return frame(engine, wanted.order_by(Artifact.run_id))
