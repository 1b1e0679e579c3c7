"""The audit log, and tokens without what would let anybody in."""

from typing import Any

import pandas as pd
from sqlalchemy import Engine, select

from db.models_access import ApiToken, AuditEntry
from db.reads.frames import frame
from db.session import reader


def audit(engine: Engine, most: int = 200, actor: str = "", action: str = "") -> pd.DataFrame:
    """Who did what, the latest first. Columns: id, at, actor, role, through, action, arguments, outcome, told."""
    query = select(*AuditEntry.__table__.columns)
    query = query.where(AuditEntry.actor == actor) if actor else query
    query = query.where(AuditEntry.action == action) if action else query
    return frame(engine, query.order_by(AuditEntry.id.desc()).limit(most))


def tokens(engine: Engine) -> list[dict[str, Any]]:
    """All tokens, the oldest first: id, name, prefix, role, created_by, created_at, expires_at, revoked_at."""
    shown = [column for column in ApiToken.__table__.columns if column.name != "sha256"]
    with reader(engine).connect() as c:
        return [dict(row) for row in c.execute(select(*shown).order_by(ApiToken.id)).mappings()]


def tokens_with(engine: Engine, prefix: str) -> list[dict[str, Any]]:
    """The tokens that begin so, with their hashes."""
    query = select(ApiToken.__table__).where(ApiToken.prefix == prefix)
    with reader(engine).connect() as c:
        return [dict(row) for row in c.execute(query).mappings()]
