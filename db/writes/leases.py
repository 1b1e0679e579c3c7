"""Leases: until when an attempt may be silent, and what becomes of its run afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, select

from db.models import Run
from db.session import reader
from db.writes.queue import held, lose_held
from db.writes.rows import clock


@dataclass(frozen=True)
class Lease:
    """An attempt's right to a run until a moment, which is `seconds` away."""

    run_id: int
    attempt: int
    until: datetime
    seconds: float


def leases(engine: Engine) -> list[Lease]:
    """Those of all runs that somebody works on, or did."""
    query = select(Run.id, Run.attempt, Run.lease_until).where(Run.state == "running")
    with reader(engine).connect() as c:
        rows, at = c.execute(query).all(), clock(c)
    return [
        Lease(run_id, attempt, until, (until - at).total_seconds())
        for run_id, attempt, until in rows
        if until is not None
    ]


def reap(engine: Engine, over: Sequence[Lease]) -> list[int]:
    """Lose the runs with these leases, but for one that was renewed meanwhile; their numbers."""
    if not over:
        return []
    with engine.begin() as c:
        return [lease.run_id for lease in over if _lost(c, lease)]


def _lost(c: Connection, lease: Lease) -> bool:
    holds = held(lease.run_id, lease.attempt)
    if c.execute(select(Run.lease_until).where(*holds).with_for_update()).scalar() != lease.until:
        return False
    return lose_held(c, lease.run_id, lease.attempt, "its lease ended without a sign of life")
