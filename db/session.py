"""Where the database lies and how it is opened: pragmas, transactions, and bringing it up to date."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from db.values import as_json

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 30

_engines: dict[str, Engine] = {}
_lock = threading.Lock()
_chosen_home: ContextVar[Path | None] = ContextVar("home", default=None)
_last: ContextVar[Callable[[Connection], None] | None] = ContextVar("before a commit", default=None)


class DatabaseProblem(Exception):
    """The database cannot do what was asked; the one sentence says why and what helps."""


class NotThere(DatabaseProblem):
    """What somebody names to do something with is not in the database."""


def home() -> Path:
    """The data directory, whether it exists or not: that of `at_home`, else of the environment."""
    return _chosen_home.get() or Path(os.environ.get("LETHE_HOME") or ".lethe")


@contextmanager
def at_home(folder: Path | None) -> Iterator[None]:
    """Within this context, in this thread, `folder` is the data directory; None leaves that of the environment."""
    before = _chosen_home.set(folder)
    try:
        yield
    finally:
        _chosen_home.reset(before)


@contextmanager
def before_commit(do: Callable[[Connection], None]) -> Iterator[None]:
    """Within this context, in this thread, every transaction that may write ends with `do`, or not at all."""
    token = _last.set(do)
    try:
        yield
    finally:
        _last.reset(token)


def database_url() -> str:
    """The address of the database: LETHE_DATABASE_URL, else a file in the data directory."""
    given = os.environ.get("LETHE_DATABASE_URL")
    return given or f"sqlite:///{(home() / 'lethe.db').absolute()}"


def open_database(create: bool = True, url: str | None = None) -> Engine | None:
    """The engine of the database, brought up to date; without `create`, None where there is none.

    The database is that of `database_url()`, unless another one's `url` is given.

    Raises:
        DatabaseProblem: it cannot be read, is not one of ours, or is of a newer version
    """
    return _opened(url or database_url(), create)


def require_database() -> Engine:
    """The engine of the database, which is made where there is none."""
    engine = open_database(create=True)
    assert engine is not None, "open_database(create=True) gave nothing"
    return engine


def close(url: str) -> bool:
    """Give up all connections to a database; False where this process has none."""
    with _lock:
        engine = _engines.pop(url, None)
    if engine is not None:
        engine.dispose()
    return engine is not None


def reader(engine: Engine) -> Engine:
    """The same engine for reads only: never waits for a writer and never makes one wait.

    Transactions of the engine itself hold the write lock from their first statement on.
    """
    return engine.execution_options(reads=True)


def _opened(url: str, create: bool) -> Engine | None:
    with _lock:
        file = _sqlite_file(url)
        if file is not None and not file.exists():
            known = _engines.pop(url, None)
            if known is not None:
                known.dispose()
            if not create:
                return None
            _make_folder(file.parent)
        if url not in _engines:
            engine = _connected(url)
            if not _brought_up_to_date(engine, url, create):
                engine.dispose()
                return None
            _engines[url] = engine
        return _engines[url]


def _sqlite_file(url: str) -> Path | None:
    try:
        parts = make_url(url)
    except (
        SQLAlchemyError,
        ValueError,
    ) as problem:  # said without it: who has no token hears this too
        raise DatabaseProblem("The database's address (LETHE_DATABASE_URL) is none; one looks like postgresql+psycopg://user@host/lethe.") from problem  # fmt: skip
    if parts.get_backend_name() != "sqlite":
        return None
    if not parts.database or parts.database == ":memory:":
        raise DatabaseProblem(
            "LETHE_DATABASE_URL must name a file: workers and pages share the database."
        )
    return Path(parts.database)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise DatabaseProblem(f"The folder {folder} cannot be made: {problem}.") from problem


def _connected(url: str, **options: Any) -> Engine:
    foreign_keys = options.pop("foreign_keys", True)
    try:
        # A server that was restarted has closed what we held: look before each use. Files do not restart.
        served = make_url(url).get_backend_name() != "sqlite"
        engine = create_engine(url, json_serializer=as_json, pool_pre_ping=served, **options)
    except (SQLAlchemyError, ImportError) as problem:
        raise DatabaseProblem(f"The database {_shown(url)} cannot be used: {problem}") from problem
    if engine.dialect.name == "sqlite":
        _set_up_sqlite(engine, foreign_keys)
    event.listen(engine, "commit", _committing)
    return engine


def _committing(connection: Connection) -> None:
    do = _last.get()
    if do is not None and not connection.get_execution_options().get("reads"):
        do(connection)


def _shown(url: str) -> str:
    return make_url(url).render_as_string(hide_password=True)


def _set_up_sqlite(engine: Engine, foreign_keys: bool) -> None:
    pragmas = (
        f"busy_timeout={BUSY_SECONDS * 1000}",
        "synchronous=NORMAL",
        f"foreign_keys={'ON' if foreign_keys else 'OFF'}",
        "cache_size=-32000",
    )

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # BEGIN is ours: a read that turns into a write fails
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        _switch_to_wal(connection)

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        only_reads = connection.get_execution_options().get("reads")
        connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """A new file's switch meets whoever else has just opened it, and SQLite does not wait for that by itself."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as problem:
            if "locked" not in str(problem) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def revisions() -> list[str]:
    """All revisions of the schema, oldest first; the files' names begin with them."""
    return sorted(
        path.stem.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py")
    )


def _brought_up_to_date(engine: Engine, url: str, create: bool) -> bool:
    """True once the schema is the newest; False where there is none and none is wanted."""
    try:
        with reader(engine).connect() as connection:
            found = _revision(connection)
        if found == revisions()[-1]:
            return True
        if found is None and not create:
            return False
        _migrate(url)
    except DatabaseError as problem:
        raise DatabaseProblem(
            f"The database {_shown(url)} cannot be read: {problem.orig}."
        ) from problem
    return True


def _revision(connection: Connection) -> str | None:
    """The schema's revision, None where the database is empty."""
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        if tables:
            raise DatabaseProblem(
                f"The database {connection.engine.url!r} holds tables that are not Lethe's;"
                " name another one in LETHE_DATABASE_URL."
            )
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found is not None and found not in revisions():
        raise DatabaseProblem(
            f"The database is of a newer version (revision {found}); update Lethe, or choose"
            " another folder with LETHE_HOME."
        )
    return found


def _migrate(url: str) -> None:
    """Bring the schema to the newest revision; of two processes, one does it and one waits."""
    from alembic import command  # half a second: only where there is something to migrate
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    # Rebuilding a table with foreign keys on would empty the tables that refer to it.
    engine = _connected(url, poolclass=NullPool, foreign_keys=False)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(5117438)"))
        if _revision(connection) != revisions()[-1]:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
