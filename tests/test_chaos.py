"""Two hundred runs and three workers, while whatever can go wrong does: nothing is lost, doubled or changed."""

import json
import random
import shutil
import tempfile
import time
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import text

from backend import worker
from db import session
from tests.chaos import Clock, Crew, full, half_written, left_behind, locked, small_disk, until_done
from tests.clusters import RAY, inside, no_namespaces
from tests.killing import assert_done_once
from tests.small_study import database, numbers, submit_twentieth

SEEDS, RUNS = 3, 210
SECONDS = 2700.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        engine = database(tmp_path_factory.mktemp("quiet"), patch)
        submit_twentieth(engine, SEEDS)
        assert worker.work(engine, slots=2, until_idle=True)
        assert_done_once(engine)
        return numbers(engine)


def submitted(engine):
    submit_twentieth(engine, SEEDS)
    with (
        engine.begin() as c
    ):  # so many blows may well hit one base, which others wait for, three times
        c.execute(text("UPDATE run SET attempts_allowed = 50"))


def blows(crew, clock, chance, others):
    """Kills and settings of the clock, and every of the other blows once among them."""
    kills = [crew.kill_a_child, crew.kill_a_worker]
    plan = [*others, *(lambda kind=kind: kind(chance) for kind in kills * 6)]
    plan += [lambda jump=jump: clock.jump(jump) for jump in (3600, -7200, 0, 900)]
    chance.shuffle(plan)
    for blow in plan:
        time.sleep(chance.uniform(0.5, 5.0))
        yield blow
        crew.staff()


def assert_all_well(engine, home, crew, expected):
    assert_same(engine, expected)
    crew.stop()
    assert left_behind(home) == []
    assert not half_written(home)


def assert_same(engine, expected):
    assert_done_once(engine)
    pd.testing.assert_frame_equal(numbers(engine), expected)
    assert len(expected["run"].unique()) == RUNS


def test_full_disk_locked_file_set_clock_and_kills(tmp_path, monkeypatch, undisturbed):
    chance, clock = random.Random(11), Clock(tmp_path)
    with small_disk(tmp_path / "disk", 200) as disk:
        engine = database(disk, monkeypatch)
        submitted(engine)
        crew = Crew(3, clock.environment, tmp_path / "workers.log")

        def disk_full():
            with full(disk):
                time.sleep(60.0)

        def file_locked():
            with locked(disk / "lethe.db"):
                time.sleep(10.0)

        until_done(engine, crew, blows(crew, clock, chance, [disk_full, file_locked]), SECONDS)
        assert_all_well(engine, disk, crew, undisturbed)
        engine.dispose()


def test_a_server_that_restarts_set_clock_and_kills(tmp_path, monkeypatch, postgres, undisturbed):
    chance, clock = random.Random(12), Clock(tmp_path)
    url = postgres.new()
    monkeypatch.setenv("LETHE_DATABASE_URL", url)
    engine = database(tmp_path / "home", monkeypatch)
    submitted(engine)
    crew = Crew(3, clock.environment, tmp_path / "workers.log")

    def restart(how):
        postgres.stop(how)
        time.sleep(chance.uniform(0.0, 8.0))
        postgres.start()

    others = [lambda how=how: restart(how) for how in ("fast", "immediate", "fast", "immediate")]
    until_done(engine, crew, blows(crew, clock, chance, others), SECONDS)
    assert_all_well(engine, tmp_path / "home", crew, undisturbed)
    session.close(url)


def test_a_ray_cluster_that_loses_a_node_and_processes(tmp_path, monkeypatch, undisturbed):
    pytest.importorskip("ray", reason="Ray is not installed")
    if why := no_namespaces():
        pytest.skip(why)
    short = Path(tempfile.mkdtemp(prefix="cl-"))  # sockets lie in it
    try:
        told = json.loads(inside(RAY, short, tmp_path, ["-m", "tests.node_loss", str(SEEDS)]))
    finally:
        shutil.rmtree(short, ignore_errors=True)
    assert told["status"] == 0
    assert told["processes lost"] > 1
    assert told["attempts"] > RUNS
    assert told["left"] == 0
    assert_same(database(tmp_path, monkeypatch), undisturbed)
    assert not half_written(tmp_path)
