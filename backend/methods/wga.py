"""Weighted gradient ascent: climb less on tokens that are unlikely already."""

from typing import Any

from backend.context import RunContext
from backend.data import Task
from backend.losses import token_losses
from backend.models import scored_logits
from backend.ranks import by_tokens
from backend.registry import Rate, Weight, method
from backend.suppression import Step, suppress


@method(
    stage="suppress",
    label="WGA",
    source="Wang et al. 2025 (arXiv 2502.19301); L = −mean p^β · ℓ over tokens (weights held) + w·CE(retain)",
)
def wga(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    beta: Weight = 1.0,
    learning_rate: Rate = 3e-4,
    **suppression: Any,
) -> Any:
    """The model after ascent in which every token counts by its own probability.

    Args:
        beta: power of the probability; 0 is gradient ascent
        learning_rate: peak learning rate of AdamW
    """

    @by_tokens
    def climb(step: Step) -> Any:
        losses = token_losses(scored_logits(model, step.forget), step.forget.targets)
        return -((-losses.detach()).exp().pow(beta) * losses).mean()

    return suppress(model, task, run, climb, learning_rate=learning_rate, **suppression)
