"""Gradient difference: climb on forget data, descend on retain data."""

from typing import Any

from backend import chunked
from backend.context import RunContext
from backend.data import Task
from backend.ranks import by_rows
from backend.registry import Rate, method
from backend.suppression import Step, suppress


@method(
    stage="suppress",
    label="GradDiff",
    source="Liu et al. 2022 (Continual Learning and Private Unlearning); L = w·CE(retain) − CE(forget)",
)
def grad_diff(
    model: Any, task: Task, run: RunContext, *, learning_rate: Rate = 3e-4, **suppression: Any
) -> Any:
    """The model after ascent on forget and descent on retain data; the ascent has no bound.

    Args:
        learning_rate: peak learning rate of AdamW
    """

    @by_rows
    def climb(step: Step) -> Any:
        return -chunked.cross_entropy(model, step.forget)

    return suppress(model, task, run, climb, learning_rate=learning_rate, **suppression)
