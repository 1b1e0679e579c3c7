"""Neither the number of slots nor that of workers changes a number, and no slot outlives its worker."""

from pathlib import Path

import pandas as pd
import pytest

from backend import worker
from db import reads
from tests.in_browser import wait_for
from tests.killing import assert_done_once, kill, slots_of, start_worker, wait_for_work
from tests.small_study import database, numbers, submit_real

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        engine = database(tmp_path_factory.mktemp("undisturbed"), patch)
        submit_real(engine)
        assert worker.work(engine, slots=1, until_idle=True)
        assert_done_once(engine)
        return numbers(engine)


@pytest.mark.parametrize("slots", [2, 3])
def test_the_number_of_slots_changes_no_number(slots, tmp_path, monkeypatch, undisturbed):
    engine = database(tmp_path, monkeypatch)
    submit_real(engine)
    assert worker.work(engine, slots=slots, until_idle=True)
    assert_done_once(engine)
    pd.testing.assert_frame_equal(numbers(engine), undisturbed)


def test_two_workers_never_do_the_same_run(tmp_path, monkeypatch, undisturbed):
    engine = database(tmp_path, monkeypatch)
    submit_real(engine)
    workers = [start_worker(1, lease=600.0), start_worker(1, lease=600.0)]
    assert [process.wait(timeout=600) for process in workers] == [0, 0]
    assert_done_once(engine)
    assert set(reads.study_runs(engine, 1)["attempt"]) == {1}
    pd.testing.assert_frame_equal(numbers(engine), undisturbed)


def test_slots_do_not_outlive_a_worker_that_is_killed(tmp_path, monkeypatch):
    engine = database(tmp_path, monkeypatch)
    submit_real(engine, base_steps=200_000)
    process = start_worker(1)
    wait_for_work(engine, process, 0.0)
    (slot,) = slots_of(process)
    kill(process.pid)
    process.wait()
    wait_for(lambda: not Path(f"/proc/{slot}").exists(), 300)


def test_a_slot_whose_worker_is_killed_while_it_starts_does_not_go_on(tmp_path, monkeypatch):
    submit_real(database(tmp_path, monkeypatch))
    process = start_worker(1)
    wait_for(lambda: slots_of(process), 300)
    (slot,) = slots_of(process)
    kill(process.pid)
    process.wait()
    wait_for(lambda: not Path(f"/proc/{slot}").exists(), 300)
    (log,) = (tmp_path / "logs").glob("*-0.log")
    assert log.read_text() == ""  # one that had come to say `ready` would complain of the pipe
