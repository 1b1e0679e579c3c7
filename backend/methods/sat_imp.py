"""SatImp: climb most on tokens that are neither forgotten nor certain."""

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
    label="SatImp",
    source="Yang et al. 2025 (arXiv 2505.11953); L = −mean p^β₁ (1 − p)^β₂ ℓ over tokens (weights held) + w·CE(retain)",
)
def sat_imp(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    beta1: Weight = 5.0,
    beta2: Weight = 1.0,
    learning_rate: Rate = 1e-3,
    retain_weight: Weight = 0.1,
    **suppression: Any,
) -> Any:
    """The model after ascent weighted by saturation and importance of every token.

    Args:
        beta1: power of p, which spares what is forgotten
        beta2: power of 1 − p, which spares what is certain
        learning_rate: peak learning rate of AdamW
        retain_weight: weight of the retain loss; 0 leaves retain data out
    """

    @by_tokens
    def climb(step: Step) -> Any:
        losses = token_losses(scored_logits(model, step.forget), step.forget.targets)
        p = (-losses.detach()).exp()
        return -(p.pow(beta1) * (1.0 - p).pow(beta2) * losses).mean()

    return suppress(
        model,
        task,
        run,
        climb,
        learning_rate=learning_rate,
        retain_weight=retain_weight,
        **suppression,
    )
