"""What the database keeps of runs' logs."""

from dataclasses import dataclass

from sqlalchemy import Engine, select

from db.models_watch import RunLog
from db.session import reader


@dataclass(frozen=True)
class KeptLog:
    """The last lines of a run's log, and the host on which they were written."""

    text: str
    host: str


def kept_log(engine: Engine, run_id: int) -> KeptLog | None:
    """What is kept of a run's log; None where nothing is."""
    query = select(RunLog.text, RunLog.host).where(RunLog.run_id == run_id)
    with reader(engine).connect() as c:
        found = c.execute(query).one_or_none()
    return None if found is None else KeptLog(found.text, found.host)
