"""Relearning: fine-tune on the attack part of the forget data and see what comes back."""

from typing import Any

from backend.context import RunContext
from backend.data import Task
from backend.registry import attack
from backend.relearning import relearned
from backend.weights import in_hand


@attack(
    label="Relearning",
    source="Lee et al. 2025 (arXiv 2506.06278): full fine-tuning, strongest learning rate counts",
    counts="weights",
    has_steps=True,
    neutral={"examples": 0, "choose": "random", "data": "forget"},
)
def relearn(
    model: Any,
    task: Task,
    run: RunContext,
    **relearning: Any,
) -> Any:
    """The attacked model, measured along its steps on the validation and the score part, step 0 included."""
    return relearned(in_hand(model), run, **relearning)
