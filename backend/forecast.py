"""What a plan will cost before it runs: FLOPs from the model's size, time from past runs."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pandas as pd

from backend.data import Task
from backend.flops import forward_flops, parameters, training_flops
from backend.plan import PlannedRun
from backend.settings import build_task
from backend.study import Plan

RATE = 2e10  # FLOP/s of one core on a tiny model, where no run of the kind has been timed yet
PASSES_A_METRIC = 1.3  # over the items that are evaluated: the mean of all metrics, as measured
PASSES = 10  # over the items, of an attack without steps
STARTING = 0.2  # seconds that every run costs besides its work
MEMORY = 450e6  # bytes of a slot's process before any model


@dataclass(frozen=True)
class Forecast:
    """Cost of the runs that do not exist yet; seconds are of wall time over all slots."""

    flops: float
    seconds: float
    memory_bytes: float
    disk_bytes: float
    basis: str


def forecast(plan: Plan, existing: Collection[str], history: pd.DataFrame, slots: int) -> Forecast:
    """FLOPs, time, memory and disk of a plan's new runs.

    `history` holds finished runs (stage, name, flops, seconds); a kind that has been timed is forecast at its own
    rate, any other at the mean rate. Distillation is counted at half of its largest number of steps, since its stop
    rule usually ends it earlier.
    """
    new = [run for run in plan.runs if run.fingerprint not in existing]
    if not new:
        return Forecast(0.0, 0.0, 0.0, 0.0, "nothing to do")
    task = build_task(new[0].setting["name"], new[0].setting["parameters"])
    costs = [(run, _flops(run, task)) for run in new]
    rates = _rates(history)
    seconds = sum(flops / rates.get(run.stage, rates[""]) + STARTING for run, flops in costs)
    weights = 4.0 * parameters(task.model)
    models = sum(run.stage not in ("attack", "evaluate") for run in new)
    return Forecast(
        flops=sum(flops for _, flops in costs),
        seconds=seconds / max(1, min(slots, len(new))),
        memory_bytes=slots * (MEMORY + 8 * weights),
        disk_bytes=models * weights,
        basis="past runs" if len(history) else "a typical core",
    )


def _rates(history: pd.DataFrame) -> dict[str, float]:
    """FLOP/s by stage; the empty name stands for all stages."""
    timed = history[(history["flops"] > 0) & (history["seconds"] > 0)] if len(history) else history
    if not len(timed):
        return {"": RATE}
    sums = timed.groupby("stage")[["flops", "seconds"]].sum()
    rates = {str(stage): float(row["flops"] / row["seconds"]) for stage, row in sums.iterrows()}
    return {**rates, "": float(timed["flops"].sum() / timed["seconds"].sum())}


def _flops(run: PlannedRun, task: Task) -> float:
    length = next(iter(task.splits.values())).input_ids.shape[1]
    given: dict[str, Any] = {**task.base_training, **run.parameters}
    if run.stage == "evaluate":
        items = sum(len(split) for name, split in task.splits.items() if "attack" not in name)
        asked = len(run.parameters["metrics"]) if run.name == "audit" else 1
        return max(1.0, PASSES_A_METRIC * asked) * forward_flops(task.model, items, length, 1)
    if run.stage in ("base", "oracle"):
        rows = round(task.context_share * given["batch_size"])
        step = training_flops(task.model, given["batch_size"] - rows, length, 1)
        for part in list(task.contexts.values())[:1]:
            step += training_flops(task.model, rows, part.input_ids.shape[1], len(part.columns))
        return float(given["steps"] * step)
    if run.stage == "robustify":
        rows = given.get("retain_batch", 0) + given.get("forget_batch", 0)
        share = 0.5 if given.get("tolerance", 0) > 0 else 1.0
        step = training_flops(task.model, rows, length, 1) + forward_flops(
            task.model, rows, length, 1
        )
        return float(share * given["steps"] * step)
    if run.stage == "attack" and "steps" not in run.parameters:
        return PASSES * forward_flops(task.model, _attacked_items(task), length, 1)
    rows = given["batch_size"] * (2 if run.stage == "suppress" else 1)
    work = given["steps"] * training_flops(task.model, rows, length, 1)
    if run.stage == "attack":
        looks = given["steps"] / given.get("evaluate_every", given["steps"]) + 1
        work += looks * forward_flops(task.model, _attacked_items(task), length, 1)
        tried = rows * given.get("candidates", 0) * given["steps"]  # a search tries several a step
        work += forward_flops(task.model, tried, length, 1)
    return float(work)


def _attacked_items(task: Task) -> int:
    return sum(len(task.splits[f"forget_{part}"]) for part in ("validation", "score"))
