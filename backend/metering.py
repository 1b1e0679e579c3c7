"""What a monitor reads: the queue, the workers and their machines, the disk, and what runs took, in Prometheus' text format."""

import math
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import Engine

from backend.disk_forecast import disk_forecast
from backend.engines.machine import free_disk
from backend.remaining import remaining
from db import reads
from db.session import home

GPU_FIGURES = {
    "used": "memory_used_bytes",
    "total": "memory_total_bytes",
    "busy": "busy_percent",
    "temperature": "temperature_celsius",
    "power": "power_watts",
}


def exposition(engine: Engine | None) -> str:
    """All figures now; without a database only that of the disk."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(engine))
    return generate_latest(registry).decode()


class _Figures:
    """Read anew for every request, so that a figure is never older than the answer that holds it."""

    def __init__(self, engine: Engine | None):
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        yield _gauge(
            "lethe_disk_free_bytes", "Free where the models lie", [({}, free_disk(home())[1])]
        )
        if self._engine is None:
            return
        counts = reads.counts(self._engine)
        blocked = counts.pop("blocked")
        yield _gauge("lethe_runs", "Runs by state", [({"state": state}, count) for state, count in counts.items()])  # fmt: skip
        yield _gauge("lethe_runs_blocked", "Waiting runs below a failed or cancelled one", [({}, blocked)])  # fmt: skip
        yield _gauge("lethe_queue_paused", "1 where nothing is claimed", [({}, reads.paused(self._engine))])  # fmt: skip
        left = remaining(self._engine)
        yield _gauge("lethe_queue_seconds_left", "Until nothing that can run is left; absent without a worker", [] if left is None else [({}, left)])  # fmt: skip
        disk = disk_forecast(self._engine)
        yield _gauge("lethe_disk_needed_bytes", "What waiting and running runs will still write", [({}, disk.needed)])  # fmt: skip
        yield _gauge("lethe_disk_forecast_bytes", "Free once they have; below 0 they do not fit", [({}, disk.free - disk.needed)])  # fmt: skip
        yield _gauge("lethe_disk_written_bytes_per_second", "Models of the last day", [({}, disk.rate)])  # fmt: skip
        yield from _of_workers(reads.workers(self._engine).to_dict("records"))
        yield from _of_stages(reads.cost_history(self._engine).to_dict("records"))


def _of_workers(workers: list[dict[Any, Any]]) -> Iterator[Metric]:
    """`workers` as `db.reads.workers` gives them; of those that are silent nobody knows what their machine is at."""
    by_worker = [({"worker": str(one["id"]), "host": str(one["host"])}, one) for one in workers]
    yield _gauge("lethe_worker_slots", "Runs at a time", [(who, one["slots"]) for who, one in by_worker])  # fmt: skip
    yield _gauge("lethe_worker_silent_seconds", "Since a worker's last sign of life", [(who, one["age"]) for who, one in by_worker])  # fmt: skip
    told = [(who, one["machine"]) for who, one in by_worker if one["alive"] and one["machine"]]
    for name in ("used", "total"):
        yield _gauge(f"lethe_worker_memory_{name}_bytes", f"Memory of its machine, {name}", [(who, one[f"memory_{name}"]) for who, one in told])  # fmt: skip
    yield _gauge("lethe_worker_cpu_percent", "Load of its machine's processors", [(who, one.get("cpu")) for who, one in told])  # fmt: skip
    yield _gauge("lethe_worker_disk_free_bytes", "Free where its data directory lies", [(who, one.get("disk_free")) for who, one in told])  # fmt: skip
    cards = [({**who, "gpu": str(k), "name": card["name"]}, card) for who, one in told for k, card in enumerate(one["gpus"])]  # fmt: skip
    for name, unit in GPU_FIGURES.items():
        yield _gauge(f"lethe_worker_gpu_{unit}", f"GPUs of its machine, {name}", [(who, card.get(name)) for who, card in cards])  # fmt: skip


def _of_stages(history: list[dict[Any, Any]]) -> Iterator[Metric]:
    """Sums over the complete runs that the database holds now. Gauges: a deleted run takes its part away."""
    by_stage = [({"stage": str(one["stage"]), "name": str(one["name"])}, one) for one in history]
    for name, words in (("runs", "Complete runs"), ("seconds", "Time that they took"), ("flops", "FLOPs that they took")):  # fmt: skip
        yield _gauge(f"lethe_complete_{name}", words, [(of, one[name]) for of, one in by_stage])


def _gauge(name: str, words: str, values: list[tuple[dict[str, str], Any]]) -> Metric:
    """One figure for every set of labels; all sets have the same names, and what is not known is left out."""
    labels = list(values[0][0]) if values else []
    made = GaugeMetricFamily(name, words, labels=labels)
    for of, value in values:
        number = math.nan if value is None else float(value)
        if math.isfinite(number):
            made.add_metric([of[label] for label in labels], number)
    return made
