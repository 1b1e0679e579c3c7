"""How long the queue still has: what was expected of its runs, at the pace of the latest finished ones."""

from sqlalchemy import Engine

from db import reads
from db.reads import Pace, UnderWay

SURE = 0.05  # of its steps, after which a run tells its own pace best


def remaining(engine: Engine) -> float | None:
    """Seconds until nothing that can run is left; None where no worker lives, or nothing is known of what waits.

    Runs of which nothing was expected count as the mean of the latest finished ones.
    """
    slots = int(reads.living_workers(engine)["slots"].sum())
    pace, ahead, running = reads.pace(engine), reads.ahead(engine), reads.under_way(engine)
    unknown = ahead.unknown or any(not run.expected for run in running)
    if not slots or (pace is None and unknown):
        return None
    pace = pace or Pace(0.0, 1.0)
    rests = [rest(run, pace) for run in running]
    work = ahead.seconds * pace.factor + ahead.unknown * pace.each + sum(rests)
    used = max(1, min(slots, ahead.runs + len(running)))
    return max(work / used, ahead.longest * pace.factor, *rests)


def rest(run: UnderWay, pace: Pace) -> float:
    """Seconds that a running run still has: by its steps, at first by what was expected."""
    if run.done >= SURE:
        return run.elapsed * max(0.0, 1.0 - run.done) / run.done
    expected = run.expected * pace.factor if run.expected else pace.each
    return max(0.0, expected - run.elapsed)
