"""`kill -9` at any moment loses no finished run, doubles no row, and changes no number."""

import random
import time

import pandas as pd
import pytest
from sqlalchemy import text

from backend import worker
from db import reads, session
from tests.killing import assert_done_once, kill, slots_of, start_worker, wait_for_work
from tests.small_study import database, numbers, submit_twentieth

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def quick_undisturbed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        engine = database(tmp_path_factory.mktemp("quick"), patch)
        submit_twentieth(engine)
        started = time.monotonic()
        assert worker.work(engine, slots=2, until_idle=True)
        assert_done_once(engine)
        return numbers(engine), time.monotonic() - started


def test_a_server_that_crashes_and_comes_back_changes_no_number(postgres, tmp_path, monkeypatch, quick_undisturbed):  # fmt: skip
    expected, seconds = quick_undisturbed
    monkeypatch.setenv("LETHE_DATABASE_URL", postgres.new())
    engine = database(tmp_path, monkeypatch)
    assert engine.dialect.name == "postgresql"
    submit_twentieth(engine)
    with engine.begin() as c:  # two for the kills; a machine that stalls may cost the base another
        c.execute(text("UPDATE run SET attempts_allowed = 5"))
    chance = random.Random(3)
    process = start_worker(2)
    for blow, how in enumerate(("fast", "immediate", "immediate", "fast")):
        wait_for_work(engine, process, chance.uniform(0.5, seconds / 6))
        kill(*slots_of(process)[: blow % 2])
        postgres.stop(how)
        time.sleep(chance.uniform(0.0, 4.0))
        postgres.start()
    assert process.wait(timeout=900) == 0
    assert_done_once(engine)
    pd.testing.assert_frame_equal(numbers(engine), expected)
    session.close(engine.url.render_as_string(hide_password=False))


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
    assert process.wait(timeout=900) == 0
    assert_done_once(engine)
    attempts = reads.study_runs(engine, 1)["attempt"]
    assert attempts.sum() > len(attempts) == 70
    pd.testing.assert_frame_equal(numbers(engine), expected)
