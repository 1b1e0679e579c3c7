"""What was asked in the playground, and what came back."""

from typing import Any

from sqlalchemy import Engine, func, select

from db.models import now
from db.prompt_models import PromptRequest
from db.reads.frames import value
from db.session import reader

P = PromptRequest
OPEN = ("waiting", "running")


def prompt_by_key(engine: Engine, key: str) -> dict[str, Any] | None:
    """The newest request of that key that nobody cancelled, with all its columns; None where there is none.

    `ahead` is the number of requests that are answered before a waiting one, `stale` whether a running one has shown no
    sign of life until its lease ended.
    """
    query = select(P.__table__).where(P.key == key, P.state != "cancelled")
    with reader(engine).connect() as c:
        row = c.execute(query.order_by(P.id.desc()).limit(1)).mappings().one_or_none()
        if row is None:
            return None
        before = select(func.count()).where(P.state.in_(OPEN), P.id < row["id"])
        ahead = c.execute(before).scalar_one() if row["state"] == "waiting" else 0
    late = row["lease_until"] is not None and row["lease_until"] < now()
    return {**row, "ahead": ahead, "stale": row["state"] == "running" and late}


def prompt_progress(engine: Engine, request_id: int) -> tuple[Any, ...]:
    """What changes while a request is open: state, attempt, done, total, message; cheap enough to ask every second."""
    columns = (P.state, P.attempt, P.done, P.total, P.message)
    with reader(engine).connect() as c:
        row = c.execute(select(*columns).where(P.id == request_id)).one_or_none()
    return ("cancelled", 0, 0, 0, "") if row is None else tuple(row)


def prompts_waiting(engine: Engine) -> int:
    """How many requests nobody has begun."""
    return int(value(engine, select(func.count()).where(P.state == "waiting")) or 0)


def prompts_open(engine: Engine) -> int:
    """How many requests wait or are being answered."""
    return int(value(engine, select(func.count()).where(P.state.in_(OPEN))) or 0)
