"""A checkpoint under examination: its passes, and the models that it is compared with, each made once."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from backend.batches import Loader
from backend.context import RunContext
from backend.data import Examples, Task
from backend.evaluation import Scores, item_row, score
from backend.stage import Measured, NotApplicable

# What a metric says: by split, or by split and category, a number or the value of every item.
# A number about the whole model stands under the split `model`.
Readings = Mapping[str | tuple[str, str], float | np.ndarray]


class Examination:
    """A model, the run that examines it, and what metrics share.

    `role` is everywhere `model`, `base` or `oracle`; without such an input the metric does not apply.
    """

    def __init__(self, run: RunContext, model: Any):
        self.run, self.model = run, model
        self.task: Task = run.task
        self.of = cache(self._of)
        self.scores = cache(self._scores)

    def _of(self, role: str = "model") -> Any:
        """The model in that role, in evaluation mode."""
        if role == "model":
            self.model.eval()
            return self.model
        if role not in self.run.request.inputs:
            raise NotApplicable(f"there is no {role} to compare with")
        return self.run.input(role).eval()

    def examples(self, split: str | None) -> Examples:
        """A split's items; NotApplicable where the setting has none."""
        if split is None or split not in self.task.splits or not len(self.task.splits[split]):
            raise NotApplicable(
                f"the setting has no items {split or 'that no model was trained on'}"
            )
        return self.task.splits[split]

    def loader(self, split: str | None) -> Loader:
        """The same as tensors."""
        return self.run.loader(self.examples(split))

    def _scores(self, split: str | None, role: str = "model", moments: bool = False) -> Scores:
        """One teacher-forced pass over a split; with `moments`, those of log p too."""
        return score(self.of(role), self.loader(split), moments=moments)


def rows_of(name: str, readings: Readings, step: int = 0) -> list[Measured]:
    """The measurement rows of a metric's readings; a value that is not finite is stored as missing."""
    return [_row(name, key, reading, step) for key, reading in readings.items()]


def _row(name: str, key: str | tuple[str, str], reading: float | np.ndarray, step: int) -> Measured:
    split, category = (key, "") if isinstance(key, str) else key
    if isinstance(reading, np.ndarray):
        row = item_row(name, split, reading.astype(float), step, category, keep=not category)
    else:
        row = Measured(name, split, float(reading), step, category)
    assert row.value is not None
    return row if np.isfinite(row.value) else replace(row, value=None)
