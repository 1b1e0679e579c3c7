"""What the queue was expected to take, and what the latest runs took beside what was expected of them."""

from dataclasses import dataclass

from sqlalchemy import Engine, func, select

from db.live import KEPT
from db.models import Event, Run, now
from db.session import reader

LATEST = 60  # finished runs that tell the pace


@dataclass(frozen=True)
class Ahead:
    """The waiting runs that nothing blocks: how many, of how many nothing is expected, seconds of all, of the longest."""

    runs: int
    unknown: int
    seconds: float
    longest: float


@dataclass(frozen=True)
class Pace:
    """The latest finished runs: seconds of each in the mean; seconds for each expected one, 1 where none was."""

    each: float
    factor: float


@dataclass(frozen=True)
class UnderWay:
    """A running run: seconds since it began, share of its steps that are done, seconds expected of it (0 if unknown)."""

    elapsed: float
    done: float
    expected: float


def under_way(engine: Engine) -> list[UnderWay]:
    """What runs now."""
    told = (Run.started_at, Run.step, Run.steps_total, Run.expected_seconds)
    with reader(engine).connect() as c:
        rows = c.execute(select(*told).where(Run.state == "running")).all()
    at = now()
    return [
        UnderWay((at - (begun or at)).total_seconds(), (step or 0) / (steps or 1), said or 0.0)
        for begun, step, steps, said in rows
    ]


def ahead(engine: Engine) -> Ahead:
    """What is expected of the waiting runs that can be begun, now or after others."""
    told = Run.expected_seconds
    figures = (func.count(), func.count(told), func.sum(told), func.max(told))
    query = select(*figures).where(Run.state == "waiting", Run.blocked_by.is_(None), KEPT)
    with reader(engine).connect() as c:
        runs, known, seconds, longest = c.execute(query).one()
    return Ahead(int(runs), int(runs - known), float(seconds or 0.0), float(longest or 0.0))


def pace(engine: Engine) -> Pace | None:
    """How long the latest runs took; None where none has finished."""
    # By the newest events and then by id alone, which takes no longer however many runs there are.
    ended = select(Event.run_id).where(Event.kind == "complete", Event.run_id.is_not(None))
    newest = ended.order_by(Event.id.desc()).limit(LATEST)
    told = select(Run.state, Run.seconds, Run.expected_seconds)
    with reader(engine).connect() as c:
        latest = list(c.execute(newest).scalars())
        found = c.execute(told.where(Run.id.in_(latest))).all()
    rows = [(took, said or 0.0) for state, took, said in found if state == "complete" and took]
    if not rows:
        return None
    known = [row for row in rows if row[1] > 0]
    factor = sum(took for took, _ in known) / sum(said for _, said in known) if known else 1.0
    return Pace(sum(took for took, _ in rows) / len(rows), factor)
