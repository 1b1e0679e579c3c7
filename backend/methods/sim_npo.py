"""SimNPO: NPO without a reference, on losses per token."""

from typing import Any

import torch.nn.functional as F

from backend.context import RunContext
from backend.data import Task
from backend.losses import item_means, token_losses
from backend.models import scored_logits
from backend.ranks import by_items
from backend.registry import Rate, Weight, method
from backend.suppression import Step, suppress


@method(
    stage="suppress",
    label="SimNPO",
    source="Fan et al. 2024 (arXiv 2410.07163), eq. 5; L = −(2/β) log σ(β(ℓ/|y| − δ))(forget) + w·CE(retain)",
)
def sim_npo(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    beta: Rate = 4.5,
    delta: Weight = 0.0,
    **suppression: Any,
) -> Any:
    """The model after raising the mean loss of every forget answer beyond a margin.

    Args:
        beta: how sharply an item that is forgotten enough stops to count
        delta: the margin, in nats a token
    """

    @by_items
    def avoid(step: Step) -> Any:
        batch = step.forget
        losses = token_losses(scored_logits(model, batch), batch.targets)
        means = item_means(losses, batch.rows, len(batch.input_ids))
        return (2.0 / beta) * F.softplus(-beta * (means - delta)).mean()

    return suppress(model, task, run, avoid, **suppression)
