"""What machines were at: told, sampled, thinned, read in few points, drawn with gaps."""

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pandas as pd
import psutil
import pytest
import streamlit as st
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import func, insert, select, update
from streamlit.testing.v1 import AppTest

from backend import exports, machine_history, worker
from backend.charts.machines import machine_chart, machines_chart
from backend.engines import local
from backend.engines.machine import Load, gpus_told_by, machine
from backend.machine_history import in_words, lines
from backend.metering import exposition
from db import reads, writes
from db.models import Flag, Run
from db.models_watch import GpuSample, MachineSample
from db.session import home, require_database
from db.writes.machines import KEPT_SECONDS, RAW_SECONDS, SPAN
from tests.small_study import lives, run, submit
from tests.test_pages import ROOT, told
from tests.test_worker import FAKE

GIGABYTE = 10**9
CARD = {"name": "NVIDIA H200", "used": 60 * GIGABYTE, "total": 150 * GIGABYTE, "busy": 90, "temperature": 61, "power": 612.5}  # fmt: skip
SAMPLE: dict[str, Any] = {"cpu": 40.0, "memory_used": 4 * GIGABYTE, "memory_total": 16 * GIGABYTE, "disk_free": 90 * GIGABYTE, "gpus": [CARD, {**CARD, "busy": 10}]}  # fmt: skip


class NVMLError(Exception):
    """As the library's own."""


def nvml(cards: list[dict[str, Any]]) -> Any:
    """The library's answers as they were recorded from cards; a reading that a card refused is missing there."""

    def reading(name: str) -> Any:
        def read(handle: int, *more: Any) -> Any:
            if name not in cards[handle]:
                raise NVMLError("Not Supported")
            return cards[handle][name]

        return read

    names = ("nvmlDeviceGetMemoryInfo", "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetName", "nvmlDeviceGetTemperature")  # fmt: skip
    return SimpleNamespace(
        NVMLError=NVMLError,
        NVML_TEMPERATURE_GPU=0,
        nvmlDeviceGetCount=lambda: len(cards),
        nvmlDeviceGetHandleByIndex=lambda position: position,
        **{name: reading(name) for name in names},
    )


RECORDED = {
    "nvmlDeviceGetName": "NVIDIA H200",
    "nvmlDeviceGetMemoryInfo": SimpleNamespace(
        total=150754820096, free=150101295104, used=653524992
    ),  # fmt: skip
    "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=37, memory=5),
    "nvmlDeviceGetTemperature": 31,
    "nvmlDeviceGetPowerUsage": 76840,
}


def test_cards_tell_what_they_know():
    divided = {key: RECORDED[key] for key in ("nvmlDeviceGetName", "nvmlDeviceGetMemoryInfo")}
    one, two = gpus_told_by(nvml([RECORDED, divided, {"nvmlDeviceGetName": b"no memory"}]))
    assert one == {"name": "NVIDIA H200", "used": 653524992, "total": 150754820096, "busy": 37, "temperature": 31, "power": 76.8}  # fmt: skip
    assert (two["busy"], two["temperature"], two["power"]) == (None, None, None)
    assert two["total"] == 150754820096


def test_this_machine_tells_its_processors_memory_and_disk(tmp_path):
    load = Load()
    assert machine(load)["cpu"] is None, "no time has passed to speak of"
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        pass
    found = machine(load, tmp_path)
    assert 100 / psutil.cpu_count() * 0.5 < found["cpu"] <= 100, "one core was busy all the time"
    assert 0 < found["memory_used"] < found["memory_total"] == psutil.virtual_memory().total
    assert abs(found["disk_free"] - psutil.disk_usage(str(tmp_path)).free) < GIGABYTE
    assert set(machine()) == {"memory_used", "memory_total", "gpus"}


def test_a_worker_keeps_samples(own_home, monkeypatch):
    monkeypatch.setattr(local, "SLOT", ("-c", FAKE))
    engine = require_database()
    submit(engine, run("a"))
    assert worker.work(engine, slots=1, until_idle=True, lease_seconds=2.0)
    (host,) = reads.machine_hosts(engine, time.time() - 3600)
    found = reads.machine_history(engine, host, time.time() - 3600, time.time() + 1)
    assert len(found.machine) >= 1 and found.machine["memory_total"].iloc[0] == psutil.virtual_memory().total  # fmt: skip
    assert found.machine["disk_free"].iloc[0] > 0


def fill(engine: Any, host: str, begin: float, end: float, every: int, cards: int = 1, **more: Any) -> None:  # fmt: skip
    """Samples as a worker would have left them in that time; the load counts up."""
    moments = range(int(begin), int(end), every)
    keys = [{"host": host, "at": at, "span": 0} for at in moments]
    figures = {key: SAMPLE[key] for key in ("memory_used", "memory_total", "disk_free")}
    rows = [{**key, **figures, "cpu": float(k % 100), **more} for k, key in enumerate(keys)]
    gpus = [{**key, **CARD, "gpu": gpu, "busy": float(k % 100)} for k, key in enumerate(keys) for gpu in range(cards)]  # fmt: skip
    with engine.begin() as c:
        c.execute(insert(MachineSample), rows)
        if gpus:
            c.execute(insert(GpuSample), gpus)


def counts(engine: Any, table: Any) -> dict[int, int]:
    with engine.connect() as c:
        return dict(c.execute(select(table.span, func.count()).group_by(table.span)).all())


def again(engine: Any) -> None:
    """Let an hour pass for the one who tidies."""
    with engine.begin() as c:
        c.execute(update(Flag).where(Flag.name == "machines tidied").values(value="0"))


@pytest.mark.both_databases
def test_samples_are_kept_for_a_day_their_means_for_a_month(own_home):
    engine = require_database()
    now = time.time()
    writes.sample_machine(engine, "a", SAMPLE)
    old = int(now - RAW_SECONDS - 3 * 3600) // SPAN * SPAN
    fill(engine, "a", old, old + 2 * SPAN, 20, cards=2)
    fill(engine, "b", old, old + SPAN, 100, cards=0, cpu=None)
    ancient = {"host": "a", "at": int(now - KEPT_SECONDS - 600), "span": SPAN, "cpu": 1.0}
    with engine.begin() as c:
        c.execute(insert(MachineSample), [ancient])
    assert writes.tidy_samples(engine)
    assert not writes.tidy_samples(engine), "once an hour is enough"
    assert counts(engine, MachineSample) == {0: 1, SPAN: 3}
    assert counts(engine, GpuSample) == {0: 2, SPAN: 4}
    with engine.connect() as c:
        M = MachineSample
        first = c.execute(select(M).where(M.host == "a", M.at == old)).mappings().one()
        other = c.execute(select(M.cpu).where(M.host == "b")).scalar()
    assert first["cpu"] == pytest.approx(7.0) and first["memory_used"] == 4 * GIGABYTE
    assert other is None, "what nobody told is not 0"
    again(engine)
    fill(engine, "a", old + 10, old + 20, 20, cards=0)  # by a clock that was set back
    assert writes.tidy_samples(engine)
    assert counts(engine, MachineSample) == {0: 1, SPAN: 3}


def test_one_round_of_tidying_is_short(own_home):
    engine = require_database()
    now = int(time.time())
    fill(engine, "a", now - 3 * RAW_SECONDS, now, 20)
    before = counts(engine, MachineSample)[0]
    assert writes.tidy_samples(engine)
    assert before - counts(engine, MachineSample)[0] <= 6 * 3600 / 20
    for _ in range(8):
        again(engine)
        assert writes.tidy_samples(engine)
    assert counts(engine, MachineSample)[0] == pytest.approx(RAW_SECONDS / 20, abs=SPAN / 20)


@pytest.mark.both_databases
def test_a_history_has_few_points_and_the_right_means(own_home):
    engine = require_database()
    now = int(time.time())
    fill(engine, "a", now - RAW_SECONDS, now, 20, cards=2)
    fill(engine, "b", now - 60, now, 20)
    assert reads.machine_hosts(engine, now - 3600) == ["a", "b"]
    assert reads.machine_hosts(engine, now + 3600) == []
    found = reads.machine_history(engine, "a", now - RAW_SECONDS, now)
    assert len(found.machine) <= 241 and len(found.gpus) <= 2 * 241 and found.width == 360
    assert found.machine["cpu"].iloc[1:-1].mean() == pytest.approx(49.5, abs=1)
    hour = reads.machine_history(engine, "a", now - 3600, now)
    assert hour.width == 15 and 175 <= len(hour.machine) <= 182
    assert set(hour.gpus["name"]) == {"NVIDIA H200"}
    assert reads.machine_history(engine, "nobody", now - 3600, now).machine.empty


def frame_of(moments: list[float], **columns: Any) -> pd.DataFrame:
    held = {"cpu": 50.0, "memory_used": 4e9, "memory_total": 16e9, "disk_free": 9e10, **columns}
    return pd.DataFrame([{"at": at, **held} for at in moments])


NO_GPUS = pd.DataFrame(columns=["at", "gpu", "name", "used", "total", "busy", "temperature", "power"])  # fmt: skip


def test_lines_break_where_nobody_looked():
    made = lines(frame_of([0, 20, 40, 400, 800, 820]), NO_GPUS, 15)
    assert set(made["measure"]) == {"cpu", "memory_used", "disk_free"}
    cpu = made[made["measure"] == "cpu"]
    seconds = [round(moment.timestamp()) for moment in cpu["at"]]
    assert seconds == [0, 20, 40, 60, 400, 420, 800, 820]
    assert [s for s, v in zip(seconds, cpu["value"], strict=True) if v != v] == [60, 420]
    assert [s for s, a in zip(seconds, cpu["alone"], strict=True) if a] == [400]
    assert in_words(made)["cpu"] == (50.0, 50.0, 50.0)


def test_means_of_five_minutes_are_an_unbroken_line():
    made = lines(frame_of([300.0 * k for k in range(10)]), NO_GPUS, 15)
    assert made["value"].notna().all() and not made["alone"].any()


def test_what_was_never_told_has_no_chart():
    made = lines(frame_of([0, 20], cpu=float("nan")), NO_GPUS, 15)
    assert set(made["measure"]) == {"memory_used", "disk_free"}
    assert lines(frame_of([0])[:0], NO_GPUS, 15).empty


def test_charts_are_valid_have_own_axes_and_can_be_printed():
    gpus = pd.DataFrame([{"at": at, "gpu": k, **CARD, "busy": 10.0 * k} for at in (0, 20, 400) for k in (0, 1)])  # fmt: skip
    made = lines(frame_of([0, 20, 400]), gpus, 15)
    assert set(made["measure"]) == {measure.name for measure in machine_history.MEASURES}
    window = (datetime.fromtimestamp(0, UTC), datetime.fromtimestamp(600, UTC))
    charts = {name: machine_chart(part, window).to_dict() for name, part in made.groupby("measure", sort=False)}  # fmt: skip
    domains = {name: one["layer"][0]["encoding"]["y"]["scale"].get("domain") for name, one in charts.items()}  # fmt: skip
    assert domains["cpu"] == domains["busy"] == [0, 100.0]
    assert domains["memory_used"] == [0, 16e9] and domains["used"] == [0, 150 * GIGABYTE]
    assert domains["power"] is None
    whole = machines_chart(made, window)
    assert len(whole.to_dict()["vconcat"]) == len(charts) == 7
    assert exports.svg(whole, "two columns", False).startswith(b"<svg")


def open_page(name: str, **address: str) -> AppTest:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    for key, value in address.items():
        at.query_params[key] = value
    at.switch_page(f"pages/{name}").run()
    assert not at.exception, at.exception[0].value
    return at


def drawn(at: AppTest) -> list[str]:
    """The alternative texts of the machine's charts."""
    return [one.proto.alt for one in at.get("vega_lite_chart") if " at last, " in one.proto.alt]


def test_jobs_shows_the_machines_and_says_when_there_is_nothing(own_home):
    engine = require_database()
    submit(engine, run("a"))
    at = open_page("6_Jobs.py")
    assert "No worker has told what its machine is at" in told(at) and not drawn(at)
    now = int(time.time())
    fill(engine, "box", now - 1800, now, 20)
    at = open_page("6_Jobs.py")
    assert len(drawn(at)) == 7
    assert any(text.startswith("Memory in use: 4.0 GB at last") for text in drawn(at))
    fill(engine, "other", now - 8000, now - 7000, 20, cards=0)
    at = open_page("6_Jobs.py")
    at.segmented_control(key="machine_time").set_value("Last day").run()
    at.selectbox(key="machine_host").set_value("other").run()
    assert len(drawn(at)) == 3


def test_a_runs_page_shows_its_machine_while_it_ran(own_home):
    engine = require_database()
    submit(engine, run("a"))
    held = writes.claim(engine, "test", 30.0)
    writes.begin(engine, held.run_id, held.attempt, {"host": "box"}, 0)
    writes.complete(engine, held.run_id, held.attempt, {})
    now = datetime.now(UTC)
    with engine.begin() as c:
        c.execute(update(Run).values(started_at=now - timedelta(hours=2), finished_at=now - timedelta(hours=1)))  # fmt: skip
    at = open_page("3_Runs.py", run="1")
    assert "Nobody looked at that machine in this time" in told(at)
    fill(engine, "box", time.time() - 1.5 * 3600, time.time(), 20, cards=0)
    st.cache_data.clear()  # as twenty seconds would
    at = open_page("3_Runs.py", run="1")
    assert len(drawn(at)) == 3


def test_a_monitor_reads_all_figures_and_leaves_out_what_is_not_known(own_home):
    engine = require_database()
    writes.register_worker(engine, "w", "host", 1, 2)
    unknown = {**CARD, "busy": None, "temperature": None, "power": None}
    writes.beat_worker(engine, "w", {**SAMPLE, "gpus": [CARD, unknown]})
    lives(engine, "w")
    families = {one.name: one.samples for one in text_string_to_metric_families(exposition(engine))}
    assert [one.value for one in families["lethe_worker_cpu_percent"]] == [40.0]
    assert [one.value for one in families["lethe_worker_gpu_power_watts"]] == [612.5]
    assert len(families["lethe_worker_gpu_memory_used_bytes"]) == 2
    assert home().exists()
