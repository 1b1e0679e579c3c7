"""The end of a run's log, kept where every machine can read it."""

from collections.abc import Callable

from sqlalchemy import Engine, select

from db.models import Run
from db.models_watch import RunLog
from db.writes.rows import clock, upsert


def keep_log(
    engine: Engine, run_id: int, attempt: int, host: str, joined: Callable[[str], str]
) -> bool:
    """Keep what `joined` makes of the text that is kept already; False where a later attempt, or no run, is there."""
    with engine.begin() as c:
        now_at = c.execute(select(Run.attempt).where(Run.id == run_id).with_for_update()).scalar()
        if now_at is None or now_at > attempt:
            return False
        before = c.execute(select(RunLog.text).where(RunLog.run_id == run_id)).scalar() or ""
        row = {"run_id": run_id, "attempt": attempt, "host": host[:200], "text": joined(before)}
        upsert(c, RunLog, [{**row, "kept_at": clock(c)}])
    return True
