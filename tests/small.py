"""A very small arithmetic task and a sink that keeps what it is given, for tests that train."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backend.context import RunContext
from backend.data import IGNORE, Examples, Task
from backend.recipe import execute
from backend.settings import build_task
from backend.stage import Answered, Measured, StageOutcome, StageRequest

# Answers of one and two tokens; the last row is filled up on the right.
HAND_MADE = Examples(
    np.array([[5, 6, 7, 1], [8, 9, 7, 2], [3, 7, 4, 0]]),
    np.array([[IGNORE, IGNORE, 1, 4], [IGNORE, IGNORE, 2, IGNORE], [IGNORE, 4, IGNORE, IGNORE]]),
)
GEMMA = {
    "family": "gemma2",
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
PARAMETERS = {"addends": 6, "factors": 6, "base_steps": 40, "batch_size": 32}


class Kept:
    """A sink in memory; `stop_after` cancels the run once so many steps were asked about."""

    def __init__(self, stop_after: int | None = None):
        self.rows: list[Measured] = []
        self.answers: list[Answered] = []
        self.asked = 0
        self.stop_after = stop_after

    def progress(self, step: int, steps: int, message: str = "") -> None:
        pass

    def record(self, rows: Any) -> None:
        self.rows += rows

    def samples(self, rows: Any) -> None:
        self.answers += rows

    def flush(self) -> None:
        pass

    def cancelled(self) -> bool:
        self.asked += 1
        return self.stop_after is not None and self.asked > self.stop_after

    def values(self, metric: str, split: str) -> dict[int, float | None]:
        return {
            row.step: row.value
            for row in self.rows
            if (row.metric, row.split, row.category) == (metric, split, "")
        }


def small_task(**parameters: Any) -> Task:
    return build_task("arithmetic", {**PARAMETERS, **parameters})


def do(
    home: Path,
    fingerprint: str,
    stage: str,
    name: str = "",
    parent: str | None = None,
    sink: Kept | None = None,
    inputs: dict[str, list[str]] | None = None,
    changes: dict[str, Any] | None = None,
    task_name: str = "arithmetic",
    **parameters: Any,
) -> tuple[StageOutcome, Kept]:
    """One run of the small task, for real; `changes` are those of its setting, or all parameters of another one."""
    chosen = {**(PARAMETERS if task_name == "arithmetic" else {}), **(changes or {})}
    setting = {
        "name": task_name,
        "parameters": chosen,
        "content_hash": build_task(task_name, chosen).content_hash,
    }
    kept = sink or Kept()
    request = StageRequest(
        stage=stage,
        name=name or stage,
        parameters=parameters,
        setting=setting,
        seed=0,
        precision="fp32",
        fingerprint=fingerprint,
        home=home,
        parent=parent,
        inputs=inputs or {},
    )
    return execute(request, kept), kept


def context(
    home: Path,
    task: Task | None = None,
    sink: Kept | None = None,
    stage: str = "suppress",
    **request: Any,
) -> RunContext:
    """A run of the small task, or of another, before anything was done in it."""
    fields = {"seed": 0, "precision": "fp32", "fingerprint": "abc", "fresh": True, **request}
    asked = StageRequest(stage, "x", {}, {"name": "arithmetic"}, home=home, **fields)
    return RunContext(asked, task or small_task(), sink or Kept(), torch.device("cpu"))


Do = Callable[..., tuple[StageOutcome, Kept]]
