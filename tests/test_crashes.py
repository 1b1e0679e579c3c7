"""`kill -9` at any moment loses no finished run, doubles no row, and changes no number."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import text

from backend import worker
from db import reads
from tests.small_study import database, numbers, submit_real, submit_twentieth

ROOT = Path(__file__).parent.parent
WORK = """
import sys
from backend.worker import work
from db.session import require_database
sys.exit(not work(require_database(), slots=int(sys.argv[1]), until_idle=True, lease_seconds=2.0))
"""
pytestmark = pytest.mark.slow


def start_worker(slots):
    return subprocess.Popen([sys.executable, "-c", WORK, str(slots)], cwd=ROOT)


def slots_of(process):
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def kill(*pids):
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def completions(engine):
    with engine.connect() as c:
        query = "SELECT run_id, count(*) FROM event WHERE kind = 'complete' GROUP BY run_id"
        return {row[0]: row[1] for row in c.execute(text(query))}


def assert_done_once(engine):
    runs = reads.study_runs(engine, 1)
    assert set(runs["state"]) == {"complete"}, runs["error"].dropna().tolist()
    assert completions(engine) == dict.fromkeys(runs["id"], 1)


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
    workers = [start_worker(1), start_worker(1)]
    assert [process.wait(timeout=120) for process in workers] == [0, 0]
    assert_done_once(engine)
    assert set(reads.study_runs(engine, 1)["attempt"]) == {1}
    pd.testing.assert_frame_equal(numbers(engine), undisturbed)


@pytest.fixture(scope="module")
def quick_undisturbed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        engine = database(tmp_path_factory.mktemp("quick"), patch)
        submit_twentieth(engine)
        started = time.monotonic()
        assert worker.work(engine, slots=2, until_idle=True)
        assert_done_once(engine)
        return numbers(engine), time.monotonic() - started


def test_kills_at_ten_random_moments_change_no_number(tmp_path, monkeypatch, quick_undisturbed):
    expected, seconds = quick_undisturbed
    engine = database(tmp_path, monkeypatch)
    submit_twentieth(engine)
    with engine.begin() as c:  # ten blows may well hit the base, which all wait for, three times
        c.execute(text("UPDATE run SET attempts_allowed = 30"))
    chance = random.Random(7)
    process = start_worker(2)
    for blow in range(10):
        wait_for_work(engine, process, chance.uniform(0.0, seconds / 8))
        target = ("slot", "worker", "both")[blow % 3]
        slots = slots_of(process)
        if target != "slot":
            kill(process.pid)
        if target != "worker":
            kill(*slots)
        if target != "slot":
            process.wait()
            process = start_worker(2)
    assert process.wait(timeout=300) == 0
    assert_done_once(engine)
    attempts = reads.study_runs(engine, 1)["attempt"]
    assert attempts.sum() > len(attempts) == 70
    pd.testing.assert_frame_equal(numbers(engine), expected)


def wait_for_work(engine, process, seconds):
    """Until some run is at work, and then that long."""
    while reads.counts(engine)["running"] == 0 and process.poll() is None:
        time.sleep(0.02)
    time.sleep(seconds)


def test_slots_do_not_outlive_a_worker_that_is_killed(tmp_path, monkeypatch):
    engine = database(tmp_path, monkeypatch)
    submit_real(engine, base_steps=2000)
    process = start_worker(1)
    wait_for_work(engine, process, 0.0)
    (slot,) = slots_of(process)
    kill(process.pid)
    process.wait()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{slot}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{slot}").exists()
