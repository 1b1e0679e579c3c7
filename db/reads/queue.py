"""The queue: what waits, runs and ended, who works, and what happened."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pandas as pd
from sqlalchemy import ColumnElement, Engine, exists, func, or_, select

from db.live import KEPT, awaited
from db.models import STATES, Event, Flag, Run, StudyRun, Worker, now
from db.reads.frames import RUN_COLUMNS, frame, value
from db.session import reader

ALIVE_SECONDS = 20.0  # since a worker's last pulse
SILENT = timedelta(days=1)  # after which a worker counts as stopped


@dataclass(frozen=True)
class Queue:
    """How many runs are in each state (and `blocked`), and the running ones with their progress."""

    counts: dict[str, int]
    active: pd.DataFrame


def data_version(engine: Engine) -> str:
    """Changes whenever something that pages show changes, progress included; cheap on every rerun."""
    with reader(engine).connect() as c:
        last = c.execute(select(func.max(Event.id))).scalar()
        running = (func.count(), func.sum(Run.step), func.max(Run.lease_until))
        progress = c.execute(select(*running).where(Run.state == "running")).one()
    return "/".join(str(part) for part in (last, *progress))


def finished_version(engine: Engine) -> str:
    """Changes whenever a run begins or ends, or a study comes or goes; progress does not change it.

    For what depends on finished runs only, such as the frontier.
    """
    return str(value(engine, select(func.max(Event.id))))


def counts(engine: Engine) -> dict[str, int]:
    """Runs by state, every state named; `blocked` counts the waiting ones below a failed or cancelled one."""
    counted = select(Run.state, func.count(), func.count(Run.blocked_by)).where(KEPT)
    with reader(engine).connect() as c:
        rows = c.execute(counted.group_by(Run.state)).all()
    found = {row[0]: int(row[1]) for row in rows}
    blocked = sum(int(row[2]) for row in rows if row[0] == "waiting")
    return {state: found.get(state, 0) for state in STATES} | {"blocked": blocked}


def queue(engine: Engine) -> Queue:
    """How full the queue is, and what is running."""
    return Queue(counts(engine), runs_in(engine, ("running",)))


def runs_in(
    engine: Engine, states: Sequence[str], limit: int = 200, blocked: bool | None = None
) -> pd.DataFrame:
    """Runs in these states: the ended ones newest first, others in the order in which they are claimed.

    The columns of `study_runs` but `position`, with worker_id and cancel_requested. `blocked` picks those that
    have, or have not, a failed or cancelled run above them.
    """
    ended = not set(states) & {"running", "waiting"}
    order = (Run.finished_at.desc(),) if ended else (Run.state, Run.priority.desc(), Run.id)
    query = select(*RUN_COLUMNS, Run.worker_id, Run.cancel_requested)
    query = query.where(Run.state.in_(list(states)), KEPT)
    if blocked is not None:
        query = query.where(Run.blocked_by.is_not(None) if blocked else Run.blocked_by.is_(None))
    return frame(engine, query.order_by(*order).limit(limit))


def workers(engine: Engine, alive_seconds: float = ALIVE_SECONDS) -> pd.DataFrame:
    """Workers that have not stopped, latest pulse first, with `age` of the pulse in seconds and `alive`.

    One that has been silent for a day counts as stopped: who is killed says no goodbye. It is back with its next pulse.
    """
    heard = Worker.heartbeat_at > now() - SILENT
    query = select(Worker.__table__).where(Worker.state != "stopped", heard)
    found = frame(engine, query.order_by(Worker.heartbeat_at.desc()))
    found["age"] = [(now() - beat).total_seconds() for beat in found["heartbeat_at"]]
    found["alive"] = found["age"].astype(float) < alive_seconds
    return found


def living_workers(engine: Engine) -> pd.DataFrame:
    """Those of `workers` that are alive."""
    found = workers(engine)
    return found[found["alive"].astype(bool)]


def paused(engine: Engine) -> bool:
    """Whether claiming is stopped."""
    return flag(engine, "paused") == "yes"


def flag(engine: Engine, name: str) -> str | None:
    """What a switch stands at; None where nobody has touched it."""
    found: str | None = value(engine, select(Flag.value).where(Flag.name == name))
    return found


def idle(engine: Engine, waiting_counts: bool = True, study_id: int | None = None) -> bool:
    """Whether nothing runs and, with `waiting_counts`, nothing can become ready either; of all, or of a study's runs."""
    mine = [] if study_id is None else [_of_study(study_id)]
    query = select(Run.id).where(Run.state == "running", *mine).limit(1)
    if value(engine, query) is not None:
        return False
    ready = (Run.state == "waiting", Run.blocked_by.is_(None), KEPT, *mine)
    return not waiting_counts or value(engine, select(Run.id).where(*ready).limit(1)) is None


def _of_study(study_id: int) -> ColumnElement[bool]:
    return exists().where(StudyRun.run_id == Run.id, StudyRun.study_id == study_id)


def unfinished(engine: Engine, study_id: int) -> list[int]:
    """A study's runs that are at work, or that can still come to be: no failed or cancelled run is above them."""
    left = (Run.state.in_(("waiting", "running")), Run.blocked_by.is_(None), KEPT)
    with reader(engine).connect() as c:
        return list(c.execute(select(Run.id).where(*left, _of_study(study_id))).scalars())


def cancel_requests(engine: Engine, worker_id: str) -> set[int]:
    """The running runs of a worker that somebody wants to stop."""
    mine = (Run.state == "running", Run.worker_id == worker_id, Run.cancel_requested)
    with reader(engine).connect() as c:
        return set(c.execute(select(Run.id).where(*mine)).scalars())


def last_event(engine: Engine) -> int:
    """The number of the newest event; 0 where there is none."""
    return int(value(engine, select(func.max(Event.id))) or 0)


def failed_since(engine: Engine, event_id: int, study_id: int | None = None) -> list[int]:
    """The runs that failed after an event: all, or a study's and those that were to make removed models again for it."""
    query = select(Event.run_id).where(Event.id > event_id, Event.kind == "failed")
    if study_id is not None:
        held = select(StudyRun.run_id).where(StudyRun.study_id == study_id)
        query = query.where(or_(Event.run_id.in_(held), Event.run_id.in_(awaited(study_id))))
    with reader(engine).connect() as c:
        return [run_id for run_id in c.execute(query).scalars() if run_id is not None]


def events(engine: Engine, run_id: int | None = None, limit: int = 200) -> pd.DataFrame:
    """The newest events first, of one run or of all: id, created_at, kind, text, run_id, worker_id."""
    E = Event
    query = select(E.id, E.created_at, E.kind, E.text, E.run_id, E.worker_id)
    if run_id is not None:
        query = query.where(E.run_id == run_id)
    return frame(engine, query.order_by(E.id.desc()).limit(limit))
