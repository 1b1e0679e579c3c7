"""Preference optimisation on forget questions: other answers are preferred to the true ones."""

from typing import Any

from torch import Tensor

from backend.context import RunContext
from backend.data import Examples, Task
from backend.losses import preference_loss
from backend.ranks import by_items
from backend.suppression import Step, losses_before, summed_losses, suppress


def prefer(
    model: Any, task: Task, run: RunContext, preferred: Examples, beta: float, **suppression: Any
) -> Any:
    """The model after DPO of `preferred`, one for each forget item, over the true answers (`suppress` otherwise)."""
    bad_before = losses_before(model, run, task.train["forget"])
    good_before = losses_before(model, run, preferred)

    @by_items
    def loss(step: Step) -> Tensor:
        good = summed_losses(model, step.of(preferred))
        bad = summed_losses(model, step.forget)
        i = step.indices
        return preference_loss(good, bad, good_before[i], bad_before[i], beta)

    return suppress(model, task, run, loss, **suppression)
