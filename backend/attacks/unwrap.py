"""Removal of a wrapper: who holds the weights leaves out what stands around them."""

from typing import Any

from backend.attacking import look
from backend.context import RunContext
from backend.data import Task
from backend.registry import attack
from backend.stage import NotApplicable
from backend.wrapping import inside


@attack(
    label="Wrapper removed",
    source="own control: the weights without what stands around them, as of ULD (arXiv 2406.08607) without its assistant",
    counts="access",
    has_steps=False,
)
def unwrap(model: Any, task: Task, run: RunContext) -> Any:
    """The model inside all wrappers, measured as it is: what an inference-time method leaves in the weights.

    Base and oracle, against which others are measured, have nothing to take off and are measured as they are.
    """
    found = inside(model)
    if found is model and run.request.parent_stage not in ("base", "oracle"):
        raise NotApplicable("the model has no wrapper to take off")
    look(run, found, 1, last=True)
    return found
