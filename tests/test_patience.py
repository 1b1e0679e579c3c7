"""What passes is waited for, what does not is told at once."""

import errno
import sqlite3
import threading

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from backend import child, patience, recipe
from backend.cargo import bring_model
from backend.patience import passes, patiently
from db import reads, session, writes
from tests.midway import midway
from tests.small_study import run, submit, submit_real


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

    tries = []

    def write():
        tries.append(1)
        if len(tries) == 4:
            rival.execute("COMMIT")
        with engine.begin() as c:
            c.execute(text("INSERT INTO a VALUES (1)"))
        return True

    rival = sqlite3.connect(path, isolation_level=None)
    rival.execute("BEGIN EXCLUSIVE")
    with pytest.raises(OperationalError, match="locked"):
        write()
    assert patiently(write)
    assert len(tries) == 4


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


def test_a_connection_that_did_not_come_free_in_time_is_waited_for():
    assert patiently(failing(NoConnection("QueuePool limit"))) == 7


@pytest.fixture
def served(postgres):
    """An engine of a server, and what lets that server be away for a while; it is back afterwards."""
    url = postgres.new()
    left = []

    def away(seconds):
        postgres.stop()
        back = threading.Timer(seconds, postgres.start)
        back.start()
        left.append(back)

    yield session.open_database(url=url), away
    for back in left:
        back.join()
    session.close(url)


def done(engine, home, **options):
    held = writes.claim(engine, "w", 30.0)
    return child.run_once(engine, held.run_id, held.attempt, home, **options)


def test_a_run_outlives_a_server_that_is_away_while_it_keeps_its_state(served, tmp_path, monkeypatch):  # fmt: skip
    engine, away = served
    monkeypatch.setattr(recipe, "KEEP_SECONDS", 0.05)
    submit_real(engine, base_steps=300)
    midway(monkeypatch, lambda: away(2.0), heard=False)
    assert done(engine, tmp_path) == "complete"
    row = reads.run(engine, 1)
    assert (row["attempt"], row["steps"]) == (1, 300)
    curve = reads.measurements(engine, run_ids=[1], metrics=["loss"], splits=["train"])
    assert curve["step"].tolist() == list(range(3, 301, 3))


def test_a_run_that_is_told_to_stop_while_the_server_is_away_returns(served, tmp_path, monkeypatch):  # fmt: skip
    engine, away = served
    stopping = threading.Event()
    submit_real(engine, base_steps=120)  # with something to store at every step

    def stop():
        away(2.0)
        stopping.set()

    midway(monkeypatch, stop)
    assert done(engine, tmp_path, stopping=stopping) == "returned"
    assert reads.run(engine, 1)["state"] == "waiting"


def test_what_a_run_starts_from_is_asked_again_where_the_server_is_away(served, tmp_path):
    engine, away = served
    submit(engine, run("a"))
    away(1.0)
    bring_model(engine, tmp_path, 1)
