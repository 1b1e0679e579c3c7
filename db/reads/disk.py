"""What the disk is asked for: models that runs still have to write, and how large such models came out."""

from typing import Any

import pandas as pd
from sqlalchemy import ColumnElement, Engine, func, or_, select

from db.live import KEPT
from db.models import MODEL_STAGES, Artifact, Run
from db.reads.frames import frame, value
from db.session import reader

LATEST = 3000  # models whose sizes are looked at
KIND = (Run.stage, Run.name, Run.setting, Run.precision)
KEEPS_ENDPOINT = "keep_endpoint"  # the parameter of an attack whose model stays


def models_to_come(engine: Engine) -> pd.DataFrame:
    """Models that waiting and running runs will write: stage, name, setting, precision, count; blocked ones left out."""
    comes = (Run.state.in_(("waiting", "running")), Run.blocked_by.is_(None), KEPT, _writes())
    query = select(*KIND, func.count().label("count")).where(*comes).group_by(*KIND)
    return frame(engine, query)


def _writes() -> ColumnElement[bool]:
    kept = Run.parameters[KEEPS_ENDPOINT].as_boolean()
    return or_(Run.stage.in_(MODEL_STAGES), (Run.stage == "attack") & kept)


def model_sizes(engine: Engine) -> pd.DataFrame:
    """The latest models by kind: stage, name, setting, precision, bytes (their mean)."""
    latest = select(Artifact.run_id, Artifact.bytes).where(Artifact.kind == "model")
    found = latest.order_by(Artifact.created_at.desc()).limit(LATEST).subquery()
    query = select(*KIND, func.avg(found.c.bytes).label("bytes")).join(found, found.c.run_id == Run.id)  # fmt: skip
    return frame(engine, query.group_by(*KIND)).astype({"bytes": float})


def models_written(engine: Engine, since: Any) -> tuple[float, Any]:
    """(bytes, when the first was written) of the models since a moment; (0, None) where there are none."""
    query = select(func.sum(Artifact.bytes), func.min(Artifact.created_at))
    with reader(engine).connect() as c:
        written, first = c.execute(query.where(Artifact.created_at >= since)).one()
    return float(written or 0), first


def database_bytes(engine: Engine) -> int | None:
    """The size of a database that is a file; None of one that a server keeps."""
    if engine.dialect.name != "sqlite":
        return None
    pages, size = (value(engine, select(func.max(_pragma(name)))) for name in ("page_count", "page_size"))  # fmt: skip
    return int(pages) * int(size)


def _pragma(name: str) -> Any:
    """One of SQLite's figures, which it offers as tables too."""
    table = getattr(func, f"pragma_{name}")().table_valued(name)
    return table.c[name]
