"""Removal of a wrapper: who holds the weights leaves out what stands around them."""

from typing import Any

from backend.asking import bare
from backend.attacking import look
from backend.context import RunContext
from backend.data import Task
from backend.registry import attack
from backend.stage import NotApplicable


@attack(
    label="Wrapper removed",
    source="specs/methods-attacks-metrics.md, A19: load the weights without their wrapper",
    counts="access",
    has_steps=False,
)
def unwrap(model: Any, task: Task, run: RunContext) -> Any:
    """The model inside all wrappers, measured as it is: what an inference-time method leaves in the weights."""
    inside = bare(model)
    if inside is model:
        raise NotApplicable("the model has no wrapper to take off")
    look(run, inside, 1, last=True)
    return inside
