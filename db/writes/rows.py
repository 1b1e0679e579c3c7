"""What several writes share: the clock, events, upserts, and which waiting runs are blocked."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, and_, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import aliased

from db.models import Event, Run, RunInput, Study, StudyRun, Table, now

BAD = ("failed", "cancelled")
ATTEMPTS = 3
# What a failed or cancelled run that shall be done again is set to.
AGAIN: dict[str, Any] = {
    **dict.fromkeys(("error", "traceback", "finished_at", "blocked_by")),
    "state": "waiting",
    "attempts_allowed": Run.attempt + ATTEMPTS,
    "cancel_requested": False,
}
ANEW = {"first_attempt": Run.attempt + 1}  # no state of earlier attempts is gone on from
MODELS_LOCK = 0x4C65746865  # any number that nothing else in the database locks
MOST_VALUES = 10_000  # in one IN list; SQLite takes 32,766


def clock(c: Connection) -> datetime:
    """The one clock that leases are compared with: the server's, or this host's for a file."""
    if c.dialect.name == "postgresql":
        return c.execute(select(func.clock_timestamp())).scalar_one()
    return now()


def event(
    c: Connection, kind: str, text: str, run_id: int | None = None, worker_id: str | None = None
) -> None:
    """Note what happened, in the transaction in which it happens."""
    c.execute(insert(Event).values(kind=kind, text=text, run_id=run_id, worker_id=worker_id))


def events(c: Connection, kind: str, text: str, run_ids: Iterable[int]) -> None:
    """The same for several runs."""
    rows = [{"kind": kind, "text": text, "run_id": run_id} for run_id in run_ids]
    if rows:
        c.execute(insert(Event), rows)


def add_event(
    engine: Engine, kind: str, text: str, run_id: int | None = None, worker_id: str | None = None
) -> None:
    """Note something that happened outside the queue, such as a backup."""
    with engine.begin() as c:
        event(c, kind, text, run_id, worker_id)


def upsert(c: Connection, table: type[Table], rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows and overwrite those with the same primary key; of two such rows the last counts."""
    if not rows:
        return
    keys = [column.name for column in table.__table__.primary_key]
    # PostgreSQL refuses a statement that would touch one row twice.
    last = {tuple(row[key] for key in keys): row for row in rows}
    dialect = sqlite if c.dialect.name == "sqlite" else postgresql
    statement: Any = dialect.insert(table)
    others = [column.name for column in table.__table__.columns if column.name not in keys]
    update_to = {name: statement.excluded[name] for name in others}
    c.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=update_to), list(last.values())
    )


def in_parts(values: Iterable[int]) -> Iterator[list[int]]:
    """The values, in lists that one statement can take."""
    held = list(values)
    for start in range(0, len(held), MOST_VALUES):
        yield held[start : start + MOST_VALUES]


def models_alone(c: Connection) -> None:
    """Until the transaction ends nobody else removes models or queues their making; SQLite has one writer anyway.

    What each looks for before it writes, the other one may be writing.
    """
    if c.dialect.name == "postgresql":
        c.execute(select(func.pg_advisory_xact_lock(MODELS_LOCK)))


def sweep(c: Connection) -> int:
    """Move every run to the trash all of whose studies are there, and what was built on it outside of any; how many."""
    held = select(StudyRun.run_id)
    live = held.join(Study, Study.id == StudyRun.study_id).where(Study.trashed_at.is_(None))
    left = update(Run).where(Run.trashed_at.is_(None), Run.id.in_(held), Run.id.not_in(live))
    count = int(c.execute(left.values(trashed_at=clock(c))).rowcount)
    gone = aliased(Run)
    trashed = select(gone.id).where(gone.trashed_at.is_not(None))
    stranded = update(Run).where(Run.trashed_at.is_(None), built_on(trashed))
    while more := int(c.execute(stranded.values(trashed_at=clock(c))).rowcount):
        count += more
    return count


def built_on(runs: Any) -> Any:
    """Runs of no study that start from these, such as an attack that was repeated to keep what it made."""
    needs = select(RunInput.run_id).where(RunInput.input_id.in_(runs))
    return and_(
        or_(Run.parent_id.in_(runs), Run.id.in_(needs)), Run.id.not_in(select(StudyRun.run_id))
    )


def block(c: Connection) -> None:
    """Let every waiting run below a failed or cancelled one name it; clear that where it is over."""
    cause = _cause()
    changed = -1
    while changed:  # one round for each stage of a recipe
        changed = c.execute(update(Run).where(_amiss(cause)).values(blocked_by=cause)).rowcount


def reblock(engine: Engine) -> list[int]:
    """Mend what transactions at the same moment could not see of one another: a run that was submitted below one that just
    failed, say. The runs that changed; none in SQLite, which has one writer.

    It takes no row that somebody holds, so nobody can wait for it while it waits for them.
    """
    found: list[int] = []
    if engine.dialect.name != "postgresql":
        return found
    cause = _cause()
    amiss = select(Run.id).where(_amiss(cause)).limit(MOST_VALUES)
    with engine.begin() as c:
        while ids := list(c.execute(amiss.with_for_update(of=Run, skip_locked=True)).scalars()):
            c.execute(update(Run).where(Run.id.in_(ids)).values(blocked_by=cause))
            found += ids
    return found


def _amiss(cause: Any) -> Any:
    return and_(Run.state == "waiting", Run.blocked_by.is_distinct_from(cause))


def _cause() -> Any:
    """The failed or cancelled run that a run has to wait for, its parent's first; null where there is none."""
    above, given = aliased(Run), aliased(Run)
    by_parent = (
        select(func.coalesce(above.blocked_by, above.id))
        .where(above.id == Run.parent_id, _stuck(above))
        .correlate(Run)
        .scalar_subquery()
    )
    by_input = (
        select(func.min(func.coalesce(given.blocked_by, given.id)))
        .join(RunInput, RunInput.input_id == given.id)
        .where(RunInput.run_id == Run.id, _stuck(given))
        .correlate(Run)
        .scalar_subquery()
    )
    return func.coalesce(by_parent, by_input)


def _stuck(run: Any) -> Any:
    return or_(run.state.in_(BAD), (run.state == "waiting") & run.blocked_by.is_not(None))
