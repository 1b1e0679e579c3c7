"""Will it fit? The forecast against what a real study then writes, and where people see it."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import streamlit as st
from prometheus_client.parser import text_string_to_metric_families
from streamlit.testing.v1 import AppTest

from backend import child, disk_forecast, metering, study
from backend.__main__ import main
from backend.disk_forecast import DiskForecast, amount
from backend.submission import planned, submitted
from db import reads, writes
from db.models import Artifact, now
from db.session import home, require_database
from tests.small_study import SETTING, run, submit, submit_real
from tests.test_data_page import opened
from tests.test_pages import ROOT, told

NEAR = 1.25  # measured on small studies: 1.06 (28 runs) and 1.01 (70 runs) times what they wrote
TINY = 10_000  # bytes of room, for what shall not fit


def written() -> int:
    """Bytes below the data directory, without what SQLite gives back when it is closed."""
    files = (file for file in home().rglob("*") if file.is_file())
    return sum(file.stat().st_size for file in files if not file.name.endswith(("-wal", "-shm")))


def work_off(engine: Any) -> None:
    while held := writes.claim(engine, "test", 30.0):
        assert child.run_once(engine, held.run_id, held.attempt) == "complete"


def small_plan() -> study.Plan:
    return study.resolve({"name": "mine", "setting": SETTING, "recipes": [{"suppress": {"name": "max_ent", "steps": 3}}]})  # fmt: skip


def test_a_real_study_writes_what_was_forecast():
    engine = require_database()
    submit_real(engine)
    found = disk_forecast.disk_forecast(engine)
    assert found.unknown == 0 and found.new == 0 and found.rate == 0
    engine.dispose()
    before = written()
    work_off(engine)
    engine.dispose()
    came = written() - before
    assert came / NEAR < found.waiting < came * NEAR
    after = disk_forecast.disk_forecast(engine)
    assert after.waiting == after.resume == 0
    assert after.rate > 0
    assert after.rate * 3600 == pytest.approx(reads.disk_used(engine), rel=0.01)


def test_sizes_are_those_of_the_models_that_came_out():
    engine = require_database()
    setting = {"name": "arithmetic", "parameters": {}, "content_hash": "0"}
    submit(engine, run("a", setting=setting), run("b", name="made_up", seed=1, setting=setting), run("c", stage="oracle", setting=setting))  # fmt: skip
    by_shape = disk_forecast.disk_forecast(engine).waiting
    held = writes.claim(engine, "test", 30.0)
    file = {"kind": "model", "path": "checkpoints/a/model.safetensors", "bytes": 7_000_000, "sha256": "0"}  # fmt: skip
    writes.complete(engine, held.run_id, held.attempt, {}, [file])
    found = disk_forecast.disk_forecast(engine)
    assert found.waiting == pytest.approx(2 * 7_000_000 + 2 * disk_forecast.ROWS)
    assert by_shape != found.waiting
    writes.request_cancel(engine, [2])
    assert disk_forecast.disk_forecast(engine).waiting == pytest.approx(7_000_000 + disk_forecast.ROWS)  # fmt: skip


@pytest.mark.both_databases
def test_what_waits_is_counted_by_kind():
    engine = require_database()
    attack = {"stage": "attack", "name": "relearn"}
    submit(
        engine,
        run("a"),
        run("b", "a"),
        run("c", "a", name="made_up", seed=1),
        run("d", "a", **attack, parameters={"keep_endpoint": True}),
        run("e", "a", **attack, parameters={"keep_endpoint": False}),
        run("f", "a", **attack),
    )
    found = reads.models_to_come(engine)
    assert dict(zip(found["stage"], found["count"], strict=True)) == {"base": 1, "suppress": 2, "attack": 1}  # fmt: skip
    held = writes.claim(engine, "test", 30.0)
    file = {"kind": "model", "path": "p", "bytes": 5_000_000_000, "sha256": "0"}
    writes.complete(engine, held.run_id, held.attempt, {}, [file])
    (size,) = reads.model_sizes(engine).to_dict("records")
    assert (size["stage"], size["bytes"]) == ("base", 5e9)
    assert reads.models_written(engine, now() - timedelta(days=1))[0] == 5e9
    assert reads.models_written(engine, now() + timedelta(days=1)) == (0.0, None)
    assert (reads.database_bytes(engine) is None) == (engine.dialect.name != "sqlite")


def test_no_more_states_are_counted_than_there_are_runs(monkeypatch):
    engine = require_database()
    monkeypatch.setattr(disk_forecast, "default_slots", lambda: 64)
    submit(engine, run("a"), run("b"))
    held = writes.claim(engine, "test", 30.0)
    file = {"kind": "model", "path": "p", "bytes": 1_000_000, "sha256": "0"}
    writes.complete(engine, held.run_id, held.attempt, {}, [file])
    assert disk_forecast.disk_forecast(engine).resume == disk_forecast.RESUME * 1_000_000, (
        "one waits"
    )


def test_what_nothing_tells_is_named_and_not_guessed():
    engine = require_database()
    gone = {"name": "no_such_setting", "parameters": {}, "content_hash": "0"}
    submit(engine, run("a", setting=gone), run("b", setting=gone, seed=1))
    found = disk_forecast.disk_forecast(engine)
    assert found.unknown == 2 and "2 models of unknown size left out" in found.words
    assert found.waiting == 2 * disk_forecast.ROWS


def test_the_rate_is_that_of_the_last_day():
    engine = require_database()
    submit(engine, run("a"))
    held = writes.claim(engine, "test", 30.0)
    file = {"kind": "model", "path": "p", "bytes": 10**9, "sha256": "0"}
    writes.complete(engine, held.run_id, held.attempt, {}, [file])
    for hours, seconds in ((0.01, 3600), (10, 36_000)):
        with engine.begin() as c:
            c.execute(Artifact.__table__.update().values(created_at=now() - timedelta(hours=hours)))
        assert disk_forecast.disk_forecast(engine).rate == pytest.approx(10**9 / seconds, rel=0.01)
    with engine.begin() as c:
        c.execute(Artifact.__table__.update().values(created_at=now() - timedelta(days=2)))
    assert disk_forecast.disk_forecast(engine).rate == 0


def test_words_and_days():
    found = DiskForecast("/", int(31e9), 12e9, 3e9, 0.0, 31e9 / 3 / 86_400)
    assert found.words == "31.0 GB free; waiting runs need about 12.0 GB, with resume states up to 15.0 GB; at the rate of the last day full in 3 days"  # fmt: skip
    assert found.fits and not found.warning
    full = replace(found, waiting=40e9)
    assert not full.fits and full.warning.startswith("The disk is too small: 31.0 GB free; waiting")
    assert replace(found, rate=31e9 / 3600 / 5).words.endswith("full in 5 hours")
    assert replace(found, rate=1.0).days is None
    assert (amount(2.5e9), amount(3e5)) == ("2.5 GB", "0.3 MB")


@pytest.fixture
def little_room(monkeypatch):
    """The true forecast, on a disk with room for nothing."""

    def little(folder):
        return folder, TINY

    monkeypatch.setattr(disk_forecast, "free_disk", little)


def test_a_study_that_would_not_fit_is_warned_of_before_it_is_queued(little_room, capsys):
    resolved = small_plan()
    told_of = planned(resolved, None)
    assert told_of["disk_bytes"] == told_of["disk"]["new"] > TINY
    assert not told_of["disk"]["fits"] and "this study about" in told_of["disk"]["warning"]
    assert main(["submit", "quick", "--dry-run"]) == 0
    assert "The disk is too small" in capsys.readouterr().out
    assert main(["submit", "quick", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["disk"]["fits"] is False


def test_what_is_planned_is_forecast_as_it_is_once_it_waits():
    resolved, engine = small_plan(), require_database()
    before = planned(resolved, engine)["disk"]
    submitted(resolved, engine)
    after = planned(resolved, engine)["disk"]
    assert after["new"] == 0 and after["waiting"] == pytest.approx(before["new"])
    assert after["needed"] == pytest.approx(before["needed"])


def test_doctor_and_monitor_tell_it(little_room, capsys):
    engine = require_database()
    submit_real(engine)
    main(["doctor", "--json"])
    disk = next(one for one in json.loads(capsys.readouterr().out) if one["name"] == "disk")
    assert disk["ok"] is False and "too small" in disk["says"]
    found = {one.name: one.samples for one in text_string_to_metric_families(metering.exposition(engine))}  # fmt: skip
    needed = disk_forecast.disk_forecast(engine).needed
    assert found["lethe_disk_needed_bytes"][0].value == pytest.approx(needed)
    assert found["lethe_disk_forecast_bytes"][0].value == pytest.approx(TINY - needed)


def test_doctor_is_content_where_it_fits(capsys):
    main(["doctor", "--json"])
    disk = next(one for one in json.loads(capsys.readouterr().out) if one["name"] == "disk")
    assert disk["ok"] is True and "free" in disk["says"]
    assert not home().exists()


def page(name: str) -> str:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    at.switch_page(f"pages/{name}").run()
    assert not at.exception, at.exception[0].value
    return told(at).replace("\\", "")


def test_the_pages_tell_it(monkeypatch):
    engine = require_database()
    submit_real(engine)
    assert "waiting runs need about" in page("6_Jobs.py")
    data = opened(part="Storage")
    assert not data.exception and "waiting runs need about" in told(data).replace("\\", "")
    assert "too small" not in page("5_Launch.py")


def test_the_pages_warn(little_room):
    engine = require_database()
    submit_real(engine)
    st.cache_data.clear()
    assert "The disk is too small" in page("6_Jobs.py")
    assert "The disk is too small" in page("5_Launch.py")
