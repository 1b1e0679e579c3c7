import os
import threading
import time

import pandas as pd
import pytest

from backend import child, patience, recipe
from backend.stage import Cancelled, Owner, RunFailed
from backend.time_limit import TimeLimit
from db import reads, writes
from tests.chaos import small_disk
from tests.midway import midway
from tests.small_study import database, numbers, run, submit, submit_real


@pytest.fixture
def engine(tmp_path, monkeypatch):
    return database(tmp_path, monkeypatch)


def do_next(engine, lease=30.0, **options):
    held = writes.claim(engine, "test", lease)
    return child.run_once(engine, held.run_id, held.attempt, lease_seconds=lease, **options)


def first_runs(engine, count, **setting):
    submit_real(engine, **setting)
    return [do_next(engine) for _ in range(count)]


def test_a_run_leaves_its_numbers_its_ledger_and_its_checkpoint(engine, tmp_path):
    assert first_runs(engine, 3) == ["complete"] * 3
    row = reads.run(engine, 1)
    assert (row["stage"], row["state"], row["steps"]) == ("base", "complete", 30)
    assert row["flops"] > 0
    assert row["seconds"] > 0
    assert row["environment"]["threads"] == 1
    file = reads.artifacts(engine, 1).iloc[0]
    assert (tmp_path / file["path"]).stat().st_size == file["bytes"]
    curve = reads.measurements(engine, run_ids=[1], metrics=["loss"], splits=["train"])
    assert curve["step"].iloc[-1] == 30
    evaluated = reads.measurements(engine, stages=["evaluate"], metrics=["answer_accuracy"])
    assert "forget_score" in set(evaluated["split"])
    model = int(evaluated["run"].iloc[0])
    items = reads.item_values(engine, [model], "answer_accuracy", "forget_score")[model, 0]
    mean = evaluated.set_index("split").loc["forget_score", "value"]
    assert items.mean() == pytest.approx(mean)
    assert set(reads.samples(engine, model)["split"]) == {"forget_score", "retain_score"}


def test_only_the_attempt_that_holds_a_run_does_it(engine):
    submit_real(engine)
    held = writes.claim(engine, "test", 30.0)
    assert child.run_once(engine, held.run_id, held.attempt + 1) == "refused"
    assert child.run_once(engine, 12345, 1) == "refused"
    assert reads.run(engine, held.run_id)["state"] == "running"


@pytest.mark.parametrize(
    ("problem", "sentence", "traced"),
    [
        (RunFailed("The loss was not finite."), "The loss was not finite.", False),
        (MemoryError(), "Out of memory", True),
        (OSError(28, "No space left on device", "/x/y/model.bin"), "disk is full: model.bin", True),
        (ValueError("first line\nsecond line"), "ValueError: first line", True),
    ],
)
def test_what_ended_a_run_is_one_sentence(engine, monkeypatch, problem, sentence, traced):
    def broken(request, sink):
        raise problem

    monkeypatch.setattr(recipe, "execute", broken)
    submit(engine, run("a"))
    assert do_next(engine) == "failed"
    row = reads.run(engine, 1)
    assert sentence in row["error"]
    assert "\n" not in row["error"]
    assert bool(row["traceback"]) == traced


LONG = {"base_steps": 120}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        engine = database(tmp_path_factory.mktemp("undisturbed"), patch)
        assert first_runs(engine, 1, **LONG) == ["complete"]
        return numbers(engine)


def test_a_cancelled_run_goes_on_after_a_retry_and_ends_with_the_same_numbers(engine, monkeypatch, undisturbed):  # fmt: skip
    submit_real(engine, **LONG)
    midway(monkeypatch, lambda: writes.request_cancel(engine, [1]))
    assert do_next(engine, lease=0.4) == "cancelled"
    assert reads.run(engine, 1)["state"] == "cancelled"
    before = numbers(engine)
    assert 0 < len(before) < len(undisturbed)
    assert writes.retry(engine, [1]) == 1
    assert do_next(engine) == "complete"
    assert reads.run(engine, 1)["attempt"] == 2
    pd.testing.assert_frame_equal(numbers(engine), undisturbed)


def test_a_run_whose_worker_stops_goes_back_to_the_queue(engine, monkeypatch, undisturbed):
    submit_real(engine, **LONG)
    stopping = threading.Event()
    midway(monkeypatch, stopping.set)
    assert do_next(engine, stopping=stopping) == "returned"
    assert reads.run(engine, 1)["state"] == "waiting"
    assert do_next(engine) == "complete"
    pd.testing.assert_frame_equal(numbers(engine), undisturbed)


def test_a_run_that_keeps_no_state_is_given_up_when_its_time_was_too_short_twice(engine, monkeypatch):  # fmt: skip
    def endless(request, sink):
        while not sink.cancelled():
            time.sleep(0.01)
        raise Cancelled

    for name, value in TimeLimit(240, 14400).told().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(recipe, "execute", endless)
    stopping = threading.Event()
    stopping.set()
    submit(engine, run("a"))
    assert do_next(engine, stopping=stopping) == "returned"
    assert do_next(engine, stopping=stopping) == "failed"
    error = reads.run(engine, 1)["error"]
    assert "twice by its time limit of 240 minutes and keeps no state" in error
    assert "--engine-option minutes=N" in error


@pytest.mark.parametrize(
    ("owner", "header", "takes"),
    [
        (Owner(), {"run": 3, "attempt": 1}, True),
        (Owner(3, 2, 1), {"run": 3, "attempt": 1}, True),
        (Owner(3, 4, 3), {"run": 3, "attempt": 2}, False),
        (Owner(3, 2, 1), {"run": 2, "attempt": 1}, False),
        (Owner(3, 2, 1), {}, True),
        (Owner(3, 2, 2), {}, False),
    ],
)  # fmt: skip
def test_a_run_goes_on_from_its_own_states_alone(owner, header, takes):
    assert owner.takes({"step": 5, **header}) is takes


def test_a_run_that_comes_further_each_time_may_return_as_often_as_it_needs(engine, monkeypatch, undisturbed):  # fmt: skip
    monkeypatch.setenv("LETHE_TIME_LIMIT", "1 60")
    submit_real(engine, **LONG)
    for _ in range(4):
        stopping = threading.Event()
        midway(monkeypatch, stopping.set, after=25)
        assert do_next(engine, stopping=stopping) == "returned"
    assert do_next(engine) == "complete"
    assert reads.run(engine, 1)["attempt"] == 5
    pd.testing.assert_frame_equal(numbers(engine), undisturbed)


@pytest.mark.parametrize(
    ("minutes", "warning", "seconds", "ended"),
    [(240, 90, 100, False), (240, 90, 14_250, True), (240, 90, 14_000, False), (1, 45, 11, True), (1, 45, 5, False)],
)  # fmt: skip
def test_a_run_knows_its_time_limit_from_another_wish_to_stop(minutes, warning, seconds, ended):
    assert TimeLimit(minutes, warning).ended(seconds) is ended


def test_a_run_that_another_attempt_holds_by_now_writes_nothing_more(engine, monkeypatch):
    submit_real(engine, **LONG)
    taken = []

    def take_over():
        writes.lose(engine, 1, 1, "somebody thought it dead")
        taken.append(writes.claim(engine, "another", 30.0))

    midway(monkeypatch, take_over)
    assert do_next(engine, lease=0.4) == "refused"
    assert taken[0].attempt == 2
    assert reads.run(engine, 1)["state"] == "running"


def test_a_state_that_is_written_after_another_completed_the_run_does_not_stay(
    engine, monkeypatch, tmp_path
):
    submit_real(engine)
    stale = writes.claim(engine, "stale", 30.0)
    name = reads.run(engine, stale.run_id)["fingerprint"]
    state = tmp_path / "checkpoints" / name / "resume.safetensors"

    def another_does_it():
        writes.lose(engine, stale.run_id, stale.attempt, "it was taken for dead")
        assert do_next(engine) == "complete"
        state.write_bytes(b"late")

    with monkeypatch.context() as patch:
        midway(patch, another_does_it)
        assert child.run_once(engine, stale.run_id, stale.attempt) == "refused"
    assert reads.run(engine, stale.run_id)["state"] == "complete"
    assert not state.exists()
    assert state.with_name("model.safetensors").exists()


def submitted_onto(disk, monkeypatch):
    """A study whose models shall lie on that disk, which is full; the database is elsewhere."""
    monkeypatch.setenv("LETHE_DATABASE_URL", f"sqlite:///{disk.parent}/elsewhere.db")
    engine = database(disk, monkeypatch)
    submit_real(engine)
    fill(disk / "ballast")
    return engine


def fill(path):
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_fails_the_run_with_a_sentence_and_harms_nothing(tmp_path, monkeypatch):
    with small_disk(tmp_path / "disk", 2) as disk:
        engine = submitted_onto(disk, monkeypatch)
        monkeypatch.setattr(patience, "SECONDS", 0.0)
        assert do_next(engine) == "failed"
        assert reads.run(engine, 1)["error"].startswith("The disk is full")
        (disk / "ballast").unlink()
        assert not list((disk / "checkpoints").rglob("*.*")), "nothing half-written stays"
        assert do_next(engine) == "complete", "the oracle needs no base"
        assert writes.retry(engine, [1]) == 1
        assert do_next(engine) == "complete"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs root")
def test_a_run_waits_while_the_disk_is_full(tmp_path, monkeypatch):
    with small_disk(tmp_path / "disk", 2) as disk:
        engine = submitted_onto(disk, monkeypatch)
        freed = threading.Timer(6.0, (disk / "ballast").unlink)
        freed.start()
        assert do_next(engine) == "complete"
        assert not (disk / "ballast").exists(), "it did not need the disk"
        assert not list(disk.rglob(".*")), "nothing half-written stays"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs root")
def test_a_database_on_a_full_disk_stays_whole(tmp_path, monkeypatch):
    with small_disk(tmp_path / "disk", 6) as disk:
        engine = database(disk, monkeypatch)
        submit_real(engine)
        assert do_next(engine) == "complete"
        before = numbers(engine)
        held = writes.claim(engine, "test", 30.0)
        fill(disk / "ballast")
        monkeypatch.setattr(patience, "SECONDS", 0.0)
        try:
            assert child.run_once(engine, held.run_id, held.attempt) == "failed"
        except Exception as problem:  # not even the end could be written: the lease decides
            assert "disk is full" in str(problem)
        (disk / "ballast").unlink()
        with engine.connect() as c:
            assert c.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        writes.lose(engine, held.run_id, held.attempt, "the disk was full")
        writes.retry(engine, [held.run_id])
        assert do_next(engine) == "complete"
        assert before["run"].isin(numbers(engine)["run"]).all()
        engine.dispose()
