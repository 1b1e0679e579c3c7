"""The queue: claiming a run, keeping it, ending it, and losing it to a crash."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, exists, func, or_, select, update
from sqlalchemy.orm import aliased

from db.live import awaited
from db.models import MODEL_FILE, Event, Flag, Run, RunInput, StudyRun
from db.writes.again import settle
from db.writes.results import store_artifacts
from db.writes.rows import block, clock, event

AWAY = {"lease_until": None, "worker_id": None, "step": None, "message": None}


@dataclass(frozen=True)
class Claim:
    """A run that is ours until its lease ends; `attempt` fences off whoever held it before.

    `memory` is the bytes that it is expected to need, 0 where nobody knows.
    """

    run_id: int
    attempt: int
    memory: int = 0


@dataclass(frozen=True)
class NoRoom:
    """The next run needs more bytes than were left for it."""

    need: int


def claim(
    engine: Engine,
    worker_id: str,
    lease_seconds: float,
    study_id: int | None = None,
    room: int | None = None,
) -> Claim | NoRoom | None:
    """Take the oldest ready run of the highest priority; None where none is ready, or all is paused.

    Two workers never get the same run. With `study_id` only runs of that revision of a study are looked at, and those that
    make removed models again for it. With `room`, the next run is taken only where that many bytes are enough for it, else
    NoRoom says what it needs: a large run is never passed by for ever.
    """
    fits = [] if room is None else [func.coalesce(Run.memory_need, 0) <= room]
    with engine.begin() as c:
        at = clock(c)
        row = c.execute(
            update(Run)
            .where(Run.id == _next_ready(study_id).scalar_subquery(), Run.state == "waiting", *fits)
            .values(
                **dict.fromkeys(("finished_at", "error", "traceback", *AWAY))
                | {"state": "running", "attempt": Run.attempt + 1, "worker_id": worker_id}
                | {"lease_until": at + timedelta(seconds=lease_seconds), "started_at": at},
                cancel_requested=False,
            )
            .returning(Run.id, Run.attempt, Run.memory_need)
        ).one_or_none()
        if row is None:
            return None if room is None else _too_large(c, study_id, room)
        event(c, "claimed", f"attempt {row.attempt}", row.id, worker_id)
    return Claim(row.id, row.attempt, row.memory_need or 0)


def _too_large(c: Connection, study_id: int | None, room: int) -> NoRoom | None:
    needs = select(func.coalesce(Run.memory_need, 0))
    need = c.execute(needs.where(Run.id == _next_ready(study_id).scalar_subquery())).scalar()
    return NoRoom(need) if need is not None and need > room else None


def _next_ready(study_id: int | None = None) -> Any:
    parent, given = aliased(Run), aliased(Run)
    of_study = exists().where(StudyRun.run_id == Run.id, StudyRun.study_id == study_id)
    mine = [] if study_id is None else [or_(of_study, Run.id.in_(awaited(study_id)))]
    return (
        select(Run.id)
        .where(
            Run.state == "waiting",
            Run.blocked_by.is_(None),
            Run.trashed_at.is_(None),
            *mine,
            ~exists().where(parent.id == Run.parent_id, parent.state != "complete"),
            ~exists().where(
                RunInput.run_id == Run.id, given.id == RunInput.input_id, given.state != "complete"
            ),
            ~exists().where(Flag.name == "paused", Flag.value == "yes"),
        )
        .order_by(Run.priority.desc(), Run.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


def held(run_id: int, attempt: int) -> Any:
    """The guard of every transition: this attempt still holds the run."""
    return (Run.id == run_id, Run.attempt == attempt, Run.state == "running")


def heartbeat(
    engine: Engine,
    run_id: int,
    attempt: int,
    lease_seconds: float,
    step: int | None = None,
    steps_total: int | None = None,
    message: str = "",
) -> str:
    """Renew the lease and show the progress; says `continue`, `cancel` or `lost`."""
    values: dict[str, Any] = {}
    if step is not None:
        values = {"step": step, "steps_total": steps_total, "message": message}
    with engine.begin() as c:
        values["lease_until"] = clock(c) + timedelta(seconds=lease_seconds)
        wish = c.execute(
            update(Run).where(*held(run_id, attempt)).values(values).returning(Run.cancel_requested)
        ).scalar_one_or_none()
    return "lost" if wish is None else "cancel" if wish else "continue"


def complete(
    engine: Engine,
    run_id: int,
    attempt: int,
    ledger: Mapping[str, Any],
    artifacts: Sequence[Mapping[str, Any]] = (),
    owner: int | None = None,
) -> bool:
    """End a run well, with its ledger and files; False where another attempt holds it by now.

    The files are those of the run `owner`, where this one made its removed model again.
    """
    with engine.begin() as c:
        values = {**ledger, "cancel_requested": False}
        done = _end(c, run_id, attempt, "complete", "", values)
        if done:
            store_artifacts(c, owner or run_id, attempt, artifacts)
            for file in artifacts:
                if file["kind"] == MODEL_FILE:
                    settle(c, owner or run_id, file["sha256"])
    return done


def fail(engine: Engine, run_id: int, attempt: int, error: str, traceback: str = "") -> bool:
    """End a run badly: one sentence, and the traceback for who wants it. Runs below it are blocked."""
    with engine.begin() as c:
        values = {"error": error, "traceback": traceback or None}
        done = _end(c, run_id, attempt, "failed", error, values)
        block(c)
    return done


def cancelled(engine: Engine, run_id: int, attempt: int) -> bool:
    """End a run that was told to stop. Runs below it are blocked."""
    with engine.begin() as c:
        done = _end(c, run_id, attempt, "cancelled", "", {"cancel_requested": False})
        block(c)
    return done


def _end(
    c: Connection, run_id: int, attempt: int, state: str, text: str, values: dict[str, Any]
) -> bool:
    values = {**values, "state": state, "finished_at": clock(c), "lease_until": None}
    done = c.execute(update(Run).where(*held(run_id, attempt)).values(values)).rowcount
    if done:
        event(c, state, text, run_id)
        return True
    # Said twice: the connection broke at the first time's end, and nobody knew that it was done.
    query = select(Run.state).where(Run.id == run_id, Run.attempt == attempt)
    return bool(c.execute(query).scalar() == state)


def lose(engine: Engine, run_id: int, attempt: int, reason: str) -> bool:
    """The process that held the run is gone: it waits again, or failed if this was the last attempt.

    `reason` goes on after "because".
    """
    with engine.begin() as c:
        return lose_held(c, run_id, attempt, reason)


def lose_held(c: Connection, run_id: int, attempt: int, reason: str) -> bool:
    """The same inside a transaction."""
    # Locked: a wish to cancel that comes now waits, and then finds a run that waits.
    asked = select(Run.attempts_allowed, Run.cancel_requested).where(*held(run_id, attempt))
    row = c.execute(asked.with_for_update()).one_or_none()
    if row is None:
        return False
    if row.cancel_requested:
        _end(c, run_id, attempt, "cancelled", reason, {"cancel_requested": False})
        block(c)
    elif attempt >= row.attempts_allowed:
        error = f"Given up after attempt {attempt}, because {reason}."
        _end(c, run_id, attempt, "failed", error, {"error": error})
        block(c)
    else:
        values = {**AWAY, "state": "waiting"}
        c.execute(update(Run).where(*held(run_id, attempt)).values(values))
        event(c, "lost", reason, run_id)
    return True


def hand_back(
    engine: Engine,
    run_id: int,
    attempt: int,
    reason: str = "its worker stopped",
    given_up: str = "",
) -> str | None:
    """Return a run unharmed to the queue, as when its worker was told to stop; it costs no attempt.

    Says `returned`, or what the run came to instead: `cancelled` where somebody had asked for that, and `failed` with the
    sentence `given_up`, if there is one, where it last returned for the very same reason. None where another attempt holds
    it by now. The number of the attempt still rises with the next claim: it is what fences off late writers.
    """
    asked = select(Run.cancel_requested).where(*held(run_id, attempt)).with_for_update()
    with engine.begin() as c:
        cancel = c.execute(asked).scalar()
        if cancel is None:
            return None
        if cancel:
            _end(c, run_id, attempt, "cancelled", reason, {"cancel_requested": False})
        elif given_up and _last_return(c, run_id) == reason:
            _end(c, run_id, attempt, "failed", given_up, {"error": given_up})
        else:
            values = {**AWAY, "state": "waiting", "attempts_allowed": Run.attempts_allowed + 1}
            c.execute(update(Run).where(*held(run_id, attempt)).values(values))
            event(c, "handed back", reason, run_id)
            return "returned"
        block(c)
    return "cancelled" if cancel else "failed"


def _last_return(c: Connection, run_id: int) -> str | None:
    """Why the run last returned, unless it has ended since: then somebody has had it done again."""
    kinds = ("handed back", "failed", "cancelled")
    last = select(Event.kind, Event.text).where(Event.run_id == run_id, Event.kind.in_(kinds))
    row = c.execute(last.order_by(Event.id.desc()).limit(1)).one_or_none()
    return row.text if row is not None and row.kind == "handed back" else None
