"""What a plan will cost before it runs: planned FLOPs, corrected and timed by what past runs of the same kind took."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from backend.data import Task
from backend.flops import parameters
from backend.learned_cost import History
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
    disk_bytes: float
    basis: str


def forecast(plan: Plan, existing: Collection[str], history: pd.DataFrame, slots: int) -> Forecast:
    """FLOPs, time, memory and disk of a plan's new runs.

    `history` holds finished runs, the newest first, as `db.reads.finished_runs` gives them; stage, name, flops and
    seconds are enough, and an empty frame will do. See `backend.learned_cost` for what is read from it.
    """
    new = [run for run in plan.runs if run.fingerprint not in existing]
    if not new:
        return Forecast(0.0, 0.0, 0.0, 0.0, "nothing to do")
    setting = new[0].setting
    task = outlined_task(setting["name"], setting["parameters"])
    past = History(history, task, _Tasks(setting, task))
    costs = [past.cost(run) for run in new]
    weights = 4.0 * parameters(task.model)
    models = sum(run.stage not in ("attack", "evaluate") for run in new)
    used = max(1, min(slots, len(new)))
    return Forecast(
        flops=sum(cost.flops for cost in costs),
        seconds=max(sum(cost.seconds for cost in costs) / used, max(c.seconds for c in costs)),
        memory_bytes=used * max(cost.memory for cost in costs),
        disk_bytes=models * weights,
        basis=_basis(len(past.past), sum(cost.timed for cost in costs), len(costs)),
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
