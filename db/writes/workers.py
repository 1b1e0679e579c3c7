"""The rows of workers: who is there, with a pulse, and who shall stop."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, update

from db.models import Worker
from db.writes.guarded import needs
from db.writes.rows import clock, event, upsert


def register_worker(
    engine: Engine, worker_id: str, host: str, pid: int, slots: int, kind: str = "local"
) -> None:
    """Note that a worker has started."""
    with engine.begin() as c:
        at = clock(c)
        row = {"id": worker_id, "host": host, "pid": pid, "slots": slots, "engine": kind}
        upsert(c, Worker, [{**row, "state": "running", "started_at": at, "heartbeat_at": at}])
        event(c, "worker started", f"{slots} slots on {host}", None, worker_id)


def beat_worker(engine: Engine, worker_id: str, machine: Mapping[str, Any] | None = None) -> str:
    """The worker's pulse, with what its machine is at; says `running` or `stopping`, as others wish it."""
    known = {} if machine is None else {"machine": dict(machine)}
    with engine.begin() as c:
        state = c.execute(
            update(Worker)
            .where(Worker.id == worker_id)
            .values(heartbeat_at=clock(c), **known)
            .returning(Worker.state)
        ).scalar_one_or_none()
    return "running" if state == "running" else "stopping"


@needs("runner")
def request_stop(engine: Engine, worker_id: str) -> bool:
    """Ask a worker to stop; False where it is not running."""
    with engine.begin() as c:
        running = (Worker.id == worker_id, Worker.state == "running")
        asked = c.execute(update(Worker).where(*running).values(state="stopping")).rowcount
        if asked:
            event(c, "worker stopping", "somebody asked it to", None, worker_id)
    return bool(asked)


def stop_worker(engine: Engine, worker_id: str) -> None:
    """Note that a worker has stopped."""
    with engine.begin() as c:
        c.execute(update(Worker).where(Worker.id == worker_id).values(state="stopped"))
        event(c, "worker stopped", "", None, worker_id)
