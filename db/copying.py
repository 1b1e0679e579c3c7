"""Copying a whole database into an empty one, of either kind, while others go on writing to the first."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import (  # fmt: skip
    Column,
    ColumnElement,
    Connection,
    Engine,
    bindparam,
    func,
    insert,
    select,
    text,
    true,
)
from sqlalchemy import Table as Relation

from db import models_access, models_marks, models_watch, prompt_models  # noqa: F401 - their tables belong to the metadata
from db.models import Flag, Report, Run, Study, Table, Worker
from db.models_access import ApiToken
from db.reads.queue import ALIVE_SECONDS
from db.session import DatabaseProblem, reader
from db.writes.control import IDENTITY
from db.writes.guarded import demand
from db.writes.rows import clock

ROWS = 2000  # at a time
Tell = Callable[[str, int], None]


def copy_database(source: Engine, target: Engine, tell: Tell | None = None) -> dict[str, int]:
    """Copy all rows as they stand at this moment; how many of each table.

    All of it arrives or nothing, but the database's name: the copy has its own, as two may be used. Numbers that were given once stay taken in the copy too.

    Raises:
        DatabaseProblem: the target holds studies or runs, or is the source
        Refused: the actor is no admin
    """
    # Not `needs`: its line in the log would be the one row that the copy lacks.
    demand("admin", "copy the database")
    if str(source.url) == str(target.url):
        raise DatabaseProblem("A database cannot be copied into itself.")
    done: dict[str, int] = {}
    with _snapshot(source) as old, target.begin() as new:
        _refuse_unless_empty(new, str(target.url))
        for table in Table.metadata.sorted_tables:
            done[table.name] = _copy(old, new, table, tell)
        _go_on_counting(old, new)
    return done


def must_be_empty(target: Engine) -> None:
    """Refuse a target whose rows a copy would replace.

    Raises:
        DatabaseProblem: it holds studies, runs, reports or tokens, or a worker is at work on it
    """
    with target.begin() as c:
        _refuse_unless_empty(c, str(target.url))


def _refuse_unless_empty(new: Connection, url: str) -> None:
    """What would be lost, and a worker that would be told to stop."""
    held = {"studies": Study.id, "runs": Run.id, "reports": Report.id}
    there = [name for name, column in held.items() if new.scalar(select(func.count(column)))]
    if there:
        raise DatabaseProblem(f"The database {url!r} holds {' and '.join(there)} already; name an empty one.")  # fmt: skip
    usable = (ApiToken.revoked_at.is_(None), ApiToken.expires_at > clock(new))
    if new.scalar(select(func.count(ApiToken.id)).where(*usable)):
        raise DatabaseProblem(f"The database {url!r} has tokens, which would be lost; revoke them, or name an empty one.")  # fmt: skip
    lives = Worker.heartbeat_at > clock(new) - timedelta(seconds=ALIVE_SECONDS)
    if new.scalar(select(func.count(Worker.id)).where(Worker.state != "stopped", lives)):
        raise DatabaseProblem(f"A worker is at work on the database {url!r}; stop it first.")


def _snapshot(source: Engine) -> Connection:
    """A connection that sees one moment; SQLite's transactions do anyway."""
    options = {} if source.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    return reader(source).connect().execution_options(**options)


def _copy(old: Connection, new: Connection, table: Relation, tell: Tell | None) -> int:
    """The rows of a table; what refers to rows of the same table comes after them."""
    later = [column for column in table.columns if _own(column, table)]
    new.execute(table.delete().where(_copied(table)))  # a fresh database may hold flags
    count = 0
    for rows in _rows(old, table):
        new.execute(insert(table), [row | {column.name: None for column in later} for row in rows])
        count += len(rows)
        if tell:
            tell(table.name, count)
    for column in later:
        _refer(old, new, table, column)
    return count


def _copied(table: Relation) -> ColumnElement[bool]:
    """All rows but the database's name, which a place for models knows it by."""
    return table.c.name != IDENTITY if table is Flag.__table__ else true()


def _own(column: Column[Any], table: Relation) -> bool:
    return any(key.column.table is table for key in column.foreign_keys)


def _rows(old: Connection, table: Relation) -> Iterator[list[dict[str, Any]]]:
    ordered = select(table).where(_copied(table)).order_by(*table.primary_key.columns)
    found = old.execution_options(yield_per=ROWS).execute(ordered)
    for part in found.mappings().partitions(ROWS):
        yield [dict(row) for row in part]


def _refer(old: Connection, new: Connection, table: Relation, column: Column[Any]) -> None:
    query = select(table.c.id.label("row"), column.label("other")).where(column.is_not(None))
    change = table.update().where(table.c.id == bindparam("row"))
    found = [dict(row) for row in old.execute(query).mappings()]
    if found:
        new.execute(change.values({column.name: bindparam("other")}), found)


def _go_on_counting(old: Connection, new: Connection) -> None:
    """The next number of every table is one that the source has not given either."""
    for table in Table.metadata.sorted_tables:
        if table.dialect_options["sqlite"].get("autoincrement"):
            last = _last_given(old, table.name)
            if last and new.dialect.name == "sqlite":
                _count_from(new, table.name, last)
            elif last:
                sequence = func.pg_get_serial_sequence(table.name, "id")
                new.execute(select(func.setval(sequence, last)))


def _last_given(old: Connection, table: str) -> int:
    if old.dialect.name == "sqlite":
        query = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
    else:
        query = text("SELECT pg_sequence_last_value(pg_get_serial_sequence(:name, 'id')::regclass)")
    return int(old.execute(query, {"name": table}).scalar() or 0)


def _count_from(new: Connection, table: str, last: int) -> None:
    """SQLite's own book of numbers has no rule against two rows for a table."""
    name = {"name": table, "seq": last}
    new.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), name)
    new.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :seq)"), name)
