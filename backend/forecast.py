"""What a plan will cost before it runs: planned FLOPs, corrected and timed by what past runs of the same kind took."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from backend.data import Task
from backend.learned_cost import Cost, History
from backend.settings import outlined_task
from backend.stage import UserError
from backend.study import Plan

OTHERS = 3  # other settings, the latest, whose runs are compared with what was planned for them


@dataclass(frozen=True)
class Forecast:
    """Cost of the runs that do not exist yet; seconds are of wall time over all slots."""

    flops: float
    seconds: float
    memory_bytes: float
    basis: str


@dataclass(frozen=True)
class Costs:
    """What every new run of a plan will cost, by fingerprint, as so many past runs tell."""

    by_run: dict[str, Cost]
    past: int


def costs(plan: Plan, existing: Collection[str], history: pd.DataFrame) -> Costs:
    """The cost of each of a plan's new runs; `existing` and `history` as for `forecast`."""
    new = [run for run in plan.runs if run.fingerprint not in existing]
    if not new:
        return Costs({}, 0)
    setting = new[0].setting
    task = outlined_task(setting["name"], setting["parameters"])
    past = History(history, task, _Tasks(setting, task))
    by_run = {run.fingerprint: past.cost(run) for run in new}
    return Costs(by_run, len(past.past))


def forecast(plan: Plan, existing: Collection[str], history: pd.DataFrame, slots: int) -> Forecast:
    """FLOPs, time and memory of a plan's new runs.

    `history` holds finished runs, the newest first, as `db.reads.finished_runs` gives them; stage, name, flops and
    seconds are enough, and an empty frame will do. See `backend.learned_cost` for what is read from it.
    """
    return summed(costs(plan, existing, history), slots)


def summed(found: Costs, slots: int) -> Forecast:
    """The forecast that the costs of a plan's new runs add up to."""
    if not found.by_run:
        return Forecast(0.0, 0.0, 0.0, "nothing to do")
    each = list(found.by_run.values())
    used = max(1, min(slots, len(each)))
    return Forecast(
        flops=sum(cost.flops for cost in each),
        seconds=max(sum(cost.seconds for cost in each) / used, max(c.seconds for c in each)),
        memory_bytes=used * max(cost.memory for cost in each),
        basis=_basis(found.past, sum(cost.timed for cost in each), len(each)),
    )


def _basis(past: int, timed: int, new: int) -> str:
    if not past:
        return "a typical core"
    known = "" if timed == new else f", which hold none like {new - timed} of the {new} new ones"
    return f"{past} past run{'' if past == 1 else 's'}{known}"


class _Tasks:
    """The plan's own task, and those of a few other settings, each made once; None for what cannot be made any more."""

    def __init__(self, setting: Mapping[str, Any], task: Task):
        self._made: dict[str, Task | None] = {_name(setting): task}

    def __call__(self, setting: Mapping[str, Any]) -> Task | None:
        name = _name(setting)
        if name not in self._made:
            if len(self._made) > OTHERS:
                return None
            try:
                self._made[name] = outlined_task(setting["name"], setting["parameters"])
            except (UserError, KeyError, TypeError):
                self._made[name] = None
        return self._made[name]


def _name(setting: Mapping[str, Any]) -> str:
    return repr((setting["name"], sorted(setting["parameters"].items())))
