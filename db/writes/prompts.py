"""The playground's queue: asking, claiming, answering, and losing a request to a crash."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, update

from db.prompt_models import PromptRequest
from db.session import reader
from db.writes.guarded import needs
from db.writes.rows import clock

KEPT = 200  # finished requests; older ones go
FINISHED = ("complete", "failed", "cancelled")
AWAY = {"server_id": None, "lease_until": None, "done": 0, "message": ""}

P = PromptRequest


@dataclass(frozen=True)
class PromptClaim:
    """A request that is ours until its lease ends; `attempt` fences off whoever held it before."""

    id: int
    attempt: int
    asked: dict[str, Any]


@needs("runner")
def ask(engine: Engine, key: str, study: str, asked: Mapping[str, Any]) -> int:
    """Queue a request; its id. The one of the same key is given where it is open or was answered."""
    with engine.begin() as c:
        mine = (P.key == key, P.state.in_(("waiting", "running", "complete")))
        known = c.execute(select(P.id).where(*mine).order_by(P.id.desc()).limit(1)).scalar()
        if known is not None:
            return int(known)
        row = {"key": key, "study": study, "asked": dict(asked), "created_at": clock(c)}
        return int(c.execute(insert(P).values(row).returning(P.id)).scalar_one())


def claim_prompt(engine: Engine, server_id: str, lease_seconds: float) -> PromptClaim | None:
    """Take the oldest request that waits; None where none does. Two servers never get the same one."""
    oldest = select(P.id).where(P.state == "waiting").order_by(P.id).limit(1)
    with engine.begin() as c:
        at = clock(c)
        row = c.execute(
            update(P)
            .where(
                P.id == oldest.with_for_update(skip_locked=True).scalar_subquery(),
                P.state == "waiting",
            )
            .values(
                **{**AWAY, "state": "running", "attempt": P.attempt + 1, "server_id": server_id}
                | {"lease_until": at + timedelta(seconds=lease_seconds), "started_at": at}
            )
            .returning(P.id, P.attempt, P.asked)
        ).one_or_none()
    return None if row is None else PromptClaim(row.id, row.attempt, row.asked)


def _held(request_id: int, attempt: int) -> Any:
    """The guard of every transition: this attempt still holds the request."""
    return (P.id == request_id, P.attempt == attempt, P.state == "running")


def beat_prompt(
    engine: Engine,
    request_id: int,
    attempt: int,
    lease_seconds: float,
    done: int = 0,
    total: int = 0,
    message: str = "",
) -> bool:
    """Renew the lease and show how far it is; False where it is not ours any more, cancelled say."""
    with engine.begin() as c:
        values = {"done": done, "total": total, "message": message}
        values |= {"lease_until": clock(c) + timedelta(seconds=lease_seconds)}
        return bool(c.execute(update(P).where(*_held(request_id, attempt)).values(values)).rowcount)


def answer_prompt(
    engine: Engine, request_id: int, attempt: int, answers: Mapping[str, Any]
) -> bool:
    """Store what the models said; False where the request is not ours any more. Old ones are dropped."""
    with engine.begin() as c:
        done = _end(c, request_id, attempt, "complete", {"answers": dict(answers)})
        _prune(c)
    return done


def fail_prompt(engine: Engine, request_id: int, attempt: int, error: str) -> bool:
    """End a request with one sentence."""
    with engine.begin() as c:
        done = _end(c, request_id, attempt, "failed", {"error": error})
        _prune(c)
    return done


def _end(
    c: Connection, request_id: int, attempt: int, state: str, values: Mapping[str, Any]
) -> bool:
    told = {**values, "state": state, "finished_at": clock(c), "lease_until": None, "message": ""}
    return bool(c.execute(update(P).where(*_held(request_id, attempt)).values(told)).rowcount)


def _prune(c: Connection) -> None:
    """Keep the newest finished requests only; open ones stay however old they are."""
    finished = P.state.in_(FINISHED)
    first = select(P.id).where(finished).order_by(P.id.desc()).offset(KEPT).limit(1)
    oldest = c.execute(first).scalar()
    if oldest is not None:
        c.execute(delete(P).where(finished, P.id <= oldest))


@needs("runner")
def cancel_prompt(engine: Engine, request_id: int) -> bool:
    """Nobody wants the answer any more; who works on it notices at its next sign of life."""
    with engine.begin() as c:
        still = (P.id == request_id, P.state.in_(("waiting", "running")))
        values = {"state": "cancelled", "finished_at": clock(c), "lease_until": None}
        return bool(c.execute(update(P).where(*still).values(values)).rowcount)


def return_prompt(engine: Engine, request_id: int, attempt: int) -> bool:
    """Back to the queue unharmed, because whoever answered was told to stop; it costs no attempt."""
    with engine.begin() as c:
        values = {**AWAY, "state": "waiting", "attempts_allowed": P.attempts_allowed + 1}
        return bool(c.execute(update(P).where(*_held(request_id, attempt)).values(values)).rowcount)


def lose_prompts(engine: Engine, server_id: str, reason: str, *, stopping: bool = False) -> int:
    """The process that held them is gone: its requests wait again; how many that were.

    Unless it was told to stop, that costs an attempt, and after the last one they fail. `reason` goes on after "because".
    """
    with engine.begin() as c:
        mine = select(P.id, P.attempt, P.attempts_allowed)
        rows = c.execute(mine.where(P.state == "running", P.server_id == server_id)).all()
        for row in rows:
            _lose(c, row, reason, int(stopping))
    return len(rows)


def reap_prompts(engine: Engine) -> int:
    """Lose every request whose lease has ended; how many that were."""
    late = select(P.id, P.attempt, P.attempts_allowed).where(P.state == "running")
    with reader(engine).connect() as c:
        if c.execute(late.where(P.lease_until < clock(c))).first() is None:
            return 0
    with engine.begin() as c:
        rows = c.execute(late.where(P.lease_until < clock(c))).all()
        for row in rows:
            _lose(c, row, "its lease ended without a sign of life", 0)
    return len(rows)


def _lose(c: Connection, row: Any, reason: str, free: int) -> None:
    if row.attempt >= row.attempts_allowed + free:
        error = f"Given up after attempt {row.attempt}, because {reason}."
        _end(c, row.id, row.attempt, "failed", {"error": error})
        return
    values = {**AWAY, "state": "waiting", "attempts_allowed": row.attempts_allowed + free}
    c.execute(update(P).where(*_held(row.id, row.attempt)).values(values))


def fail_waiting_prompts(engine: Engine, error: str) -> int:
    """Nobody can answer here: all that wait fail with this sentence; how many that were."""
    with engine.begin() as c:
        values = {"state": "failed", "error": error, "finished_at": clock(c)}
        return int(c.execute(update(P).where(P.state == "waiting").values(values)).rowcount)
