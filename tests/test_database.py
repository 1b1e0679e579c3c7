import sqlite3
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import NullPool

from db import reads, session, writes
from db.arrays import decode, encode
from db.models import Table
from db.writes.queue import _next_ready
from tests.small_study import database, run, submit

ROOT = Path(__file__).parent.parent


def test_looking_for_a_database_makes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("LETHE_HOME", str(tmp_path / "home"))
    assert session.open_database(create=False) is None
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_no_database_yet(tmp_path, monkeypatch):
    monkeypatch.setenv("LETHE_HOME", str(tmp_path))
    (tmp_path / "lethe.db").touch()
    assert session.open_database(create=False) is None
    assert session.open_database() is not None


def test_migrations_from_empty_give_the_tables_of_the_models(tmp_path, monkeypatch):
    engine = database(tmp_path, monkeypatch)
    with warnings.catch_warnings(), engine.connect() as c:
        warnings.simplefilter("ignore")  # one index is descending, which SQLite cannot report
        options = {"compare_type": True, "compare_server_default": True}
        found = compare_metadata(MigrationContext.configure(c, opts=options), Table.metadata)
    of_indexes = [change for change in found if "index" not in str(change[0])]
    assert of_indexes == []
    assert {change[1].name for change in found} <= {"ix_run_state_priority_id"}


def test_runs_are_claimed_along_an_index_without_sorting(tmp_path, monkeypatch):
    engine = database(tmp_path, monkeypatch)
    query = _next_ready().compile(engine, compile_kwargs={"literal_binds": True})
    with engine.connect() as c:
        steps = [row.detail for row in c.execute(text(f"EXPLAIN QUERY PLAN {query}"))]
    assert "ix_run_state_priority_id" in steps[0]
    assert not any("TEMP B-TREE" in step for step in steps)


def test_on_postgresql_a_claim_skips_what_others_are_claiming():
    assert "FOR UPDATE SKIP LOCKED" in str(_next_ready().compile(dialect=postgresql.dialect()))


def test_the_database_refuses_states_that_do_not_exist(tmp_path, monkeypatch):
    engine = database(tmp_path, monkeypatch)
    submit(engine, run("a"))
    with pytest.raises(IntegrityError), engine.begin() as c:
        c.execute(text("UPDATE run SET state = 'done'"))


def test_connections_are_set_up_for_many_processes(tmp_path, monkeypatch):
    engine = database(tmp_path, monkeypatch)
    asked = ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
    with engine.connect() as c:
        found = [c.execute(text(f"PRAGMA {name}")).scalar() for name in asked]
    assert found == ["wal", 1, 1, 30_000]


def test_a_database_of_a_newer_version_is_refused_in_one_sentence(tmp_path, monkeypatch):
    with database(tmp_path, monkeypatch).begin() as c:
        c.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    session._engines.clear()
    with pytest.raises(session.DatabaseProblem, match="newer version.*9999"):
        session.open_database()


def test_a_file_that_is_no_database_is_refused_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("LETHE_HOME", str(tmp_path))
    (tmp_path / "lethe.db").write_text("my diary, page one" * 100)
    with pytest.raises(session.DatabaseProblem, match="not a database"):
        session.open_database(create=False)


def test_a_database_of_another_program_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("LETHE_HOME", str(tmp_path))
    with sqlite3.connect(tmp_path / "lethe.db") as other:
        other.execute("CREATE TABLE recipes (cake TEXT)")
    with pytest.raises(session.DatabaseProblem, match="not Lethe's"):
        session.open_database()


@pytest.mark.parametrize("url", ["nonsense", "sqlite:///:memory:", "mysql+absent://x/y"])
def test_an_unusable_address_is_explained(url, monkeypatch):
    monkeypatch.setenv("LETHE_DATABASE_URL", url)
    with pytest.raises(session.DatabaseProblem):
        session.open_database()


def test_processes_that_open_a_new_database_at_once_all_get_it(tmp_path):
    code = "from db.session import require_database as r; print(r().dialect.name)"
    environment = {"LETHE_HOME": str(tmp_path / "home"), "PATH": ""}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE
        )
        for _ in range(3)
    ]
    assert [process.communicate()[0] for process in started] == [b"sqlite\n"] * 3


def test_a_new_file_that_somebody_else_is_just_writing_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setenv("LETHE_HOME", str(tmp_path))
    rival = sqlite3.connect(tmp_path / "lethe.db", isolation_level=None, check_same_thread=False)
    rival.execute("BEGIN IMMEDIATE")  # as another's first switch to WAL does for a moment
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(session.open_database)
        try:
            with pytest.raises(TimeoutError):
                opened.result(1.0)
        finally:
            rival.execute("ROLLBACK")
            rival.close()
        assert opened.result(300).dialect.name == "sqlite"


def test_a_deleted_database_is_noticed(tmp_path, monkeypatch):
    submit(database(tmp_path, monkeypatch), run("a"))
    for path in tmp_path.glob("lethe.db*"):
        path.unlink()
    assert session.open_database(create=False) is None
    assert reads.counts(session.require_database())["waiting"] == 0


def test_threads_that_read_and_write_at_once_lose_nothing(tmp_path, monkeypatch):
    engine = database(tmp_path, monkeypatch)

    def raise_a_counter() -> None:
        for _ in range(25):
            with engine.begin() as c:
                held = c.execute(text("SELECT value FROM flag WHERE name = 'n'")).scalar()
                c.execute(
                    text("INSERT OR REPLACE INTO flag VALUES ('n', :n)"), {"n": int(held or 0) + 1}
                )

    threads = [threading.Thread(target=raise_a_counter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.connect() as c:
        assert c.execute(text("SELECT value FROM flag")).scalar() == "100"


def test_a_reader_does_not_wait_for_a_writer(tmp_path, monkeypatch):
    engine = database(tmp_path, monkeypatch)
    submit(engine, run("a"))
    with engine.begin() as c:
        c.execute(text("DELETE FROM study_run"))
        assert len(reads.study_runs(engine, 1)) == 1


def test_item_values_come_back_as_they_went():
    values = np.array([0.0, 1.0, -2.5, np.inf], dtype=np.float32)
    assert (decode(encode(values)) == values).all()
    assert decode(encode(np.arange(5))).dtype == np.dtype("<f4")


def test_frames_of_an_empty_database_have_their_columns(tmp_path, monkeypatch):
    engine = database(tmp_path, monkeypatch)
    assert {"run", "metric", "value"} <= set(reads.measurements(engine, study_id=1).columns)
    assert {"id", "parent", "position"} <= set(reads.study_runs(engine, 1).columns)
    assert {"alive", "age"} <= set(reads.workers(engine).columns)
    assert "seconds_per_flop" in reads.cost_history(engine)
    assert (reads.study(engine, "x"), reads.run(engine, 1), reads.disk_used(engine)) == (
        None,
        None,
        0,
    )


def test_measurements_can_be_asked_for_by_everything_that_names_them(tmp_path, monkeypatch):
    engine = database(tmp_path, monkeypatch)
    submit(engine, run("a"), run("b", "a"))
    writes.claim(engine, "w", 30)
    rows = [
        {"metric": metric, "split": split, "category": category, "step": step, "value": step + 0.5}
        for metric in ("accuracy", "loss")
        for split in ("forget_score", "train")
        for category in ("", "product")
        for step in (10, 0)
    ]
    writes.record(engine, 1, 1, rows)
    assert len(reads.measurements(engine, category=None)) == 16
    assert len(reads.measurements(engine)) == 8
    asked = {"metrics": ["loss"], "splits": ["train"], "stages": ["base"], "run_ids": [1]}
    found = reads.measurements(engine, study_id=1, **asked)
    assert found["step"].tolist() == [0, 10]
    assert found["value"].tolist() == [0.5, 10.5]
    assert found.loc[0, ["metric", "split", "category"]].tolist() == ["loss", "train", ""]
    assert reads.measurements(engine, study_id=1, stages=["attack"]).empty


def test_runs_at_work_show_their_loss_or_what_they_measured_at_several_steps(tmp_path, monkeypatch):
    engine = database(tmp_path, monkeypatch)
    submit(engine, run("trains"), run("attacks"), run("begins"))
    told = {
        1: [("loss", "train", "", 3), ("accuracy", "forget_score", "", 3)],
        2: [("accuracy", "forget_score", "", 4), ("accuracy", "forget_score", "product", 4),
            ("loss", "forget_score", "", 4), ("distance", "whole", "", 1)],
        3: [("loss", "train", "", 1)],
    }  # fmt: skip
    for run_id, curves in told.items():
        writes.claim(engine, f"w{run_id}", 30)
        rows = [{"metric": m, "split": s, "category": c, "step": step, "value": step / 8} for m, s, c, steps in curves for step in range(steps)]  # fmt: skip
        assert writes.record(engine, run_id, 1, rows)
    found = reads.live_curves(engine, [1, 2, 3])
    named = found[["run", "metric", "split", "step"]].values.tolist()
    assert named == [[1, "loss", "train", k] for k in range(3)] + [
        [2, "accuracy", "forget_score", k] for k in range(4)
    ]
    assert found["value"].tolist() == [0.0, 0.125, 0.25, 0.0, 0.125, 0.25, 0.375]
    assert len(reads.live_curves(engine, [2], most=3)) == 3
    assert reads.live_curves(engine, []).empty


def test_the_version_of_the_data_changes_with_everything_that_pages_show(tmp_path, monkeypatch):
    engine = database(tmp_path, monkeypatch)
    seen = [reads.data_version(engine)]
    for change in (
        lambda: submit(engine, run("a")),
        lambda: writes.claim(engine, "w", 30),
        lambda: writes.heartbeat(engine, 1, 1, 30, 5, 10),
        lambda: writes.fail(engine, 1, 1, "It broke."),
        lambda: writes.retry(engine, [1]),
        lambda: writes.set_paused(engine, True),
        lambda: writes.set_priority(engine, [1], 5),
        lambda: writes.delete_study(engine, "study"),
    ):
        change()
        seen.append(reads.data_version(engine))
    assert len(set(seen)) == len(seen)


def go_back_to(revision: str) -> None:
    """Take the schema back, as a release of that time left it."""
    config = Config()
    config.set_main_option("script_location", str(session.MIGRATIONS))
    engine = session._connected(session.database_url(), poolclass=NullPool, foreign_keys=False)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def test_an_older_database_knows_the_metric_by_its_new_name(tmp_path: Path) -> None:
    engine = session.open_database(create=True)
    assert engine is not None
    document = {
        "name": "old",
        "setting": {"forget_metric": "accuracy", "retain_metric": "loss"},
        "metrics": {"accuracy": {"direction": "up"}, "loss": {}},
    }
    run = {
        "fingerprint": "f", "stage": "base", "name": "base", "version": 1, "parameters": {},
        "setting": {}, "precision": "fp32", "seed": 0, "parent": None, "inputs": {},
    }  # fmt: skip
    asked = {**run, "fingerprint": "g", "stage": "evaluate", "parent": "f", "parameters": {"metrics": ["accuracy", "loss"]}}  # fmt: skip
    writes.submit(engine, name="old", document=document, runs=[run, asked])
    go_back_to("0002")
    with engine.begin() as c:
        c.execute(text("INSERT INTO measurement (run_id, metric, split, category, step, value, attempt) VALUES (2, 'accuracy', 'forget_score', '', 0, 0.5, 1)"))  # fmt: skip
        c.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    session._engines.clear()
    engine = session.open_database(create=True)
    assert engine is not None
    found = reads.measurements(engine, run_ids=[2])
    assert found[["metric", "value"]].values.tolist() == [["answer_accuracy", 0.5]]
    stored = reads.study(engine, "old")
    assert stored is not None
    assert stored.document["setting"] == {"forget_metric": "answer_accuracy", "retain_metric": "loss"}  # fmt: skip
    assert list(stored.document["metrics"]) == ["answer_accuracy", "loss"]
    row = reads.run(engine, 2)
    assert row is not None and row["parameters"] == {"metrics": ["answer_accuracy", "loss"]}
