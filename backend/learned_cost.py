"""What finished runs teach about runs to come: how far plans of FLOPs were off, how long they took, how much memory."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from backend.data import Task
from backend.flops import number, parameters
from backend.plan import PlannedRun
from backend.planned_cost import planned_flops

RATE = 2e10  # FLOP/s of one core on a tiny model, where no run has been timed yet
STARTING = 0.2  # seconds that every run costs besides its work, where none has been timed
MEMORY = 450e6  # bytes of a slot's process before any model
LATEST = 60  # runs of a kind that count, the newest
LIKE = 4.0  # factor of FLOPs within which a run is of similar size
LIKE_OTHERS = 64.0  # the same where only other parts' runs are there to go by
CUT = 0.2  # share of the largest and of the smallest ratios that is left out of a mean
PEAK = 0.95  # quantile of past peaks that is expected again
WEIGHT = 16.0  # bytes for each parameter: weight, gradient, and AdamW's two means
COLUMNS = ("stage", "name", "flops", "seconds")

Tasks = Callable[[Mapping[str, Any]], Task | None]  # of a setting


@dataclass(frozen=True)
class Cost:
    """One run to come: FLOPs, seconds of its slot, bytes at its peak; `timed` is whether its kind has been."""

    flops: float
    seconds: float
    memory: float
    timed: bool


class History:
    """Finished runs, newest first, beside what was planned for them."""

    def __init__(self, history: pd.DataFrame, task: Task, task_of: Tasks):
        """`history` needs stage, name, flops and seconds, and may have parameters, setting and peak_memory.

        Each run is set beside what `planned_flops` says of it in its setting, which `task_of` makes; beside the FLOPs
        that it took where the setting is not known any more.
        """
        self.task, self.task_of = task, task_of
        self._planned: dict[str, tuple[float, float]] = {}
        rows = history.to_dict("records") if set(COLUMNS) <= set(history.columns) else []
        read = [self._read(row) for row in rows]
        self.past = [past for past in read if past is not None]
        self._groups: dict[tuple[str, ...], _Group] = {}
        for past in self.past:
            for key in past.keys:
                self._groups.setdefault(key, _Group()).runs.append(past)

    def _read(self, row: Mapping[Any, Any]) -> "_Past | None":
        seconds, flops = _positive(row["seconds"]), _positive(row["flops"])
        setting = row.get("setting")
        task = self.task_of(setting) if isinstance(setting, dict) else None
        stage, name, given = str(row["stage"]), str(row["name"]), _told(row.get("parameters"))
        plan, shape = self._plan(row, task, f"{id(task)}/{stage}/{name}/{given}")
        planned = plan or flops
        if not seconds or not planned:
            return None
        same = task is not None and _same(task, self.task)
        keys = _keys(stage, name, given if same else None)
        peak = _positive(row.get("peak_memory"))
        ratios = (flops / planned, seconds / planned)
        return _Past(keys, planned, *ratios, blind=not plan, same=same, peak=peak, shape=shape)

    def _plan(self, row: Mapping[Any, Any], task: Task | None, key: str) -> tuple[float, float]:
        """(planned FLOPs, bytes by shapes); 0 each without a task, or for a run of before its parameters were these."""
        if task is None:
            return 0.0, 0.0
        if key not in self._planned:
            run = as_planned(row)
            try:
                self._planned[key] = planned_flops(run, task), shape_bytes(run, task)
            except (KeyError, TypeError, ZeroDivisionError):
                self._planned[key] = 0.0, 0.0
        return self._planned[key]

    def cost(self, run: PlannedRun) -> Cost:
        """What a run will cost: as runs of its part with these parameters did, else of its part, its stage, or all."""
        planned = planned_flops(run, self.task)
        for key in _keys(run.stage, run.name, _told(run.parameters)):
            if key in self._groups:
                timed = len(key) > 1
                flops, seconds = self._groups[key].ratios(planned, timed)
                memory = self._memory(run, self._groups[key])
                return Cost(planned * flops, planned * seconds, memory, timed)
        return Cost(planned, planned / RATE + STARTING, MEMORY + shape_bytes(run, self.task), False)

    def _memory(self, run: PlannedRun, group: "_Group") -> float:
        return group.peak or self._start + self._scale * shape_bytes(run, self.task)

    @cached_property
    def _start(self) -> float:
        """Bytes of a process with no model yet: as much as the leanest run took, MEMORY at most."""
        return min([MEMORY, *(past.peak for past in self.past if past.peak)])

    @cached_property
    def _scale(self) -> float:
        """How many times what shapes explain did past runs take beyond the process? 1 where nothing says so."""
        found = [
            (past.peak - self._start) / past.shape for past in self.past if past.peak and past.shape
        ]
        return float(np.clip(np.median(found), 0.5, 20.0)) if found else 1.0


@dataclass(frozen=True)
class _Past:
    """A finished run: what it took, for each planned FLOP; `blind` is that there was no plan but its own FLOPs."""

    keys: list[tuple[str, ...]]
    planned: float
    flops: float
    seconds: float
    blind: bool
    same: bool  # of the plan's own setting
    peak: float  # bytes, 0 if unknown
    shape: float  # bytes that its shapes explain, 0 if unknown


class _Group:
    """Runs of one kind, newest first."""

    def __init__(self) -> None:
        self.runs: list[_Past] = []
        self._known: dict[int, tuple[float, float]] = {}

    @cached_property
    def peak(self) -> float:
        """The memory that the latest runs of the plan's own setting took; 0 if there is none."""
        peaks = [past.peak for past in self.runs if past.same and past.peak][:LATEST]
        return float(np.quantile(peaks, PEAK)) if peaks else 0.0

    @cached_property
    def _sighted(self) -> list[_Past]:
        return [past for past in self.runs if not past.blind] or self.runs

    @cached_property
    def _sizes(self) -> np.ndarray:
        return np.log([past.planned for past in self._sighted])

    def ratios(self, planned: float, timed: bool) -> tuple[float, float]:
        """(FLOPs, seconds) for each planned FLOP, by the latest runs of similar size.

        A part's own runs speak by their mean without the extremes; where only others were timed, the median over the
        parts stands for the seconds, and the plan for the FLOPs.
        """
        size = round(np.log(max(planned, 1.0)) / np.log(LIKE))
        if size not in self._known:
            within = np.log(LIKE if timed else LIKE_OTHERS)
            apart = np.abs(self._sizes - size * np.log(LIKE))
            near = np.flatnonzero(apart <= max(apart.min(), within))
            runs = [self._sighted[i] for i in near]
            self._known[size] = _of_part(runs[:LATEST]) if timed else (1.0, _of_parts(runs))
        return self._known[size]


def _of_part(runs: Sequence[_Past]) -> tuple[float, float]:
    return _middle([past.flops for past in runs]), _middle([past.seconds for past in runs])


def _of_parts(runs: Sequence[_Past]) -> float:
    parts: dict[tuple[str, ...], list[float]] = {}
    for past in runs:
        # For each FLOP that was done: how far their plans were off is their own matter.
        took = past.seconds / past.flops if past.flops else past.seconds
        parts.setdefault(past.keys[-3], []).append(took)
    return float(np.median([np.median(took) for took in parts.values()]))


def shape_bytes(run: PlannedRun, task: Task) -> float:
    """Bytes of weights, gradients and optimiser states, and of what one batch leaves between the passes."""
    given = {**task.base_training, **run.parameters}
    rows = given.get("retain_batch", 0) + given.get("forget_batch", 0)
    rows = rows or given.get("batch_size", 1)
    part = task.train["retain"]
    width = number(task.model, "hidden_size") or 0
    inner = number(task.model, "intermediate_size") or 4 * width
    layers = number(task.model, "num_hidden_layers") or 1
    vocabulary = number(task.model, "vocab_size") or 0
    tokens = rows * part.input_ids.shape[1]
    left = tokens * layers * (10 * width + 3 * inner) + 3 * rows * len(part.columns) * vocabulary
    return WEIGHT * parameters(task.model) + 4.0 * left


def as_planned(row: Mapping[str, Any]) -> PlannedRun:
    """A finished run as it would be planned again; only what its cost depends on is true of it."""
    return PlannedRun(
        fingerprint="",
        stage=str(row["stage"]),
        name=str(row["name"]),
        version=1,
        parameters=dict(row.get("parameters") or {}),
        setting={},
        precision="fp32",
        seed=0,
    )


def _keys(stage: str, name: str, given: str | None) -> list[tuple[str, ...]]:
    """The kinds that a run belongs to, the narrowest first; without parameters where they are of another setting."""
    exact = [] if given is None else [(stage, name, given)]
    return [*exact, (stage, name), (stage,), ()]


def _same(one: Task, other: Task) -> bool:
    return one is other or (one.model == other.model and one.base_training == other.base_training)


def _told(values: Any) -> str:
    return json.dumps(values, sort_keys=True, default=str)


def _positive(value: Any) -> float:
    """A number as it is where it is above 0; else, and where it is missing, 0."""
    return 0.0 if value is None or pd.isna(value) or value <= 0 else float(value)


def _middle(values: Sequence[float]) -> float:
    """The mean of the middle: neither a run beside a busy neighbour nor one that was cut short decides."""
    ordered = np.sort(values)
    cut = int(len(ordered) * CUT)
    return float(ordered[cut : len(ordered) - cut].mean())
