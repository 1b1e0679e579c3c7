"""What passes is waited for, what does not is told at once."""

import errno
import sqlite3
import threading
import time

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError, OperationalError

from backend import patience
from backend.patience import passes, patiently
from db import session


def failing(*problems):
    """An action that meets these problems, one a time, and then gives 7."""
    left = list(problems)

    def act():
        if left:
            raise left.pop(0)
        return 7

    return act


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(patience, "PAUSES", (0.01, 0.05))


def test_a_full_disk_is_waited_for():
    assert patiently(failing(*[OSError(errno.ENOSPC, "No space left on device")] * 3)) == 7


def test_a_mistake_is_told_at_once():
    for problem in (ValueError("x"), OSError(errno.EACCES, "no"), IntegrityError("x", {}, Exception("unique"))):  # fmt: skip
        with pytest.raises(type(problem)):
            patiently(failing(problem))


def test_patience_ends():
    act = failing(*[OSError(errno.ENOSPC, "full")] * 100)
    with pytest.raises(OSError, match="full"):
        patiently(act, seconds=0.2)


def test_a_locked_file_is_waited_for(tmp_path):
    path = tmp_path / "x.db"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE a (b INTEGER)")
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 0.01})

    def write():
        with engine.begin() as c:
            c.execute(text("INSERT INTO a VALUES (1)"))
        return True

    rival = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    rival.execute("BEGIN EXCLUSIVE")
    with pytest.raises(OperationalError, match="locked"):
        write()
    threading.Timer(0.3, lambda: rival.execute("COMMIT")).start()
    started = time.monotonic()
    assert patiently(write)
    assert time.monotonic() - started > 0.2


def test_a_table_that_is_missing_does_not_come_by_waiting(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(OperationalError) as caught, engine.begin() as c:
        c.execute(text("SELECT * FROM nowhere"))
    assert not passes(caught.value)


def test_a_server_that_is_away_is_waited_for_also_when_it_is_opened(postgres, monkeypatch):
    url = postgres.new()
    postgres.stop()
    try:
        with pytest.raises(session.DatabaseProblem) as caught:
            session.open_database(url=url)
        assert passes(caught.value)
        back = threading.Timer(0.5, postgres.start)
        back.start()
        assert patiently(lambda: session.open_database(url=url)) is not None
        back.join()
    finally:
        session.close(url)
        if "back" not in locals():
            postgres.start()


def test_a_database_of_a_newer_version_is_not_waited_for():
    assert not passes(session.DatabaseProblem("The database is of a newer version."))
