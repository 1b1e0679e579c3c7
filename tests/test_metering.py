"""What a monitor reads, taken apart by the library that Prometheus' own tests use."""

import importlib
import math
from collections.abc import Mapping
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, update

from backend.metering import exposition
from db import reads, writes
from db.models import Worker, now
from tests.report_data import engine, small_home

__all__ = ["engine", "small_home"]  # fixtures
GPU = {"name": "H200", "used": 5, "total": 9, "busy": 70}


def figures(text: str) -> dict[str, list[tuple[Mapping[str, str], float]]]:
    families = text_string_to_metric_families(text)
    return {family.name: [(one.labels, one.value) for one in family.samples] for family in families}


def test_the_figures_are_those_of_the_database(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    moment = now()
    monkeypatch.setattr(importlib.import_module("db.reads.queue"), "now", lambda: moment)
    machine = {"memory_used": 3, "memory_total": 8, "gpus": [GPU, {**GPU, "busy": 10}]}
    writes.register_worker(engine, 'w\n"1', "host", 1, 2)
    writes.beat_worker(engine, 'w\n"1', machine)
    for name in ("killed", "forgotten"):
        writes.register_worker(engine, name, "host", 2, 4)
        writes.beat_worker(engine, name, {**machine, "cpu": 97})
    for name, since in (('w\n"1', 3), ("killed", 40), ("forgotten", 25 * 3600)):
        with engine.begin() as c:
            late = update(Worker).where(Worker.id == name)
            c.execute(late.values(heartbeat_at=moment - timedelta(seconds=since)))
    writes.set_paused(engine, True)
    found = figures(exposition(engine))
    counts = reads.counts(engine)
    assert {labels["state"]: value for labels, value in found["lethe_runs"]} == {state: count for state, count in counts.items() if state != "blocked"}  # fmt: skip
    assert counts["complete"] > 0
    assert found["lethe_queue_paused"] == [({}, 1.0)]
    who = {"worker": 'w\n"1', "host": "host"}
    killed = {"worker": "killed", "host": "host"}
    assert found["lethe_worker_slots"] == [(who, 2.0), (killed, 4.0)]
    silent = found["lethe_worker_silent_seconds"]
    assert [labels for labels, _ in silent] == [who, killed], "a day's silence is an end"
    assert [seconds for _, seconds in silent] == [3.0, 40.0]
    assert found["lethe_worker_cpu_percent"] == [], "nobody knows what a silent machine is at"
    assert found["lethe_worker_memory_used_bytes"] == [(who, 3.0)]
    assert [(labels["gpu"], value) for labels, value in found["lethe_worker_gpu_busy_percent"]] == [("0", 70.0), ("1", 10.0)]  # fmt: skip
    history = reads.cost_history(engine)
    assert math.isclose(sum(value for _, value in found["lethe_complete_seconds"]), history["seconds"].sum(), rel_tol=1e-9)  # fmt: skip
    assert len(found["lethe_complete_runs"]) == len(history) > 2


def test_without_a_database_the_disk_is_told() -> None:
    found = figures(exposition(None))
    assert list(found) == ["lethe_disk_free_bytes"]
    assert found["lethe_disk_free_bytes"][0][1] > 0
