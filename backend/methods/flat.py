"""FLAT: adjust the loss by an f-divergence between template and forget answers, with forget data alone."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from backend.batches import Batch
from backend.context import RunContext
from backend.data import Task
from backend.losses import item_means, token_losses
from backend.models import scored_logits
from backend.ranks import by_items
from backend.refusals import refusals
from backend.registry import Rate, Weight, method
from backend.suppression import Step, suppress

LOG2 = 0.6931471805599453
# g*(v) and f*(g*(v)) of every divergence, v a probability.
VARIATIONAL: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "tv": (lambda v: 0.5 * torch.tanh(v), lambda v: 0.5 * torch.tanh(v)),
    "kl": (lambda v: v, lambda v: torch.exp(v - 1.0)),
    "pearson": (lambda v: v, lambda v: v.square() / 4.0 + v),
    "js": (
        lambda v: LOG2 - torch.log1p(torch.exp(-v)),
        lambda v: v + torch.log1p(torch.exp(-v)) - LOG2,
    ),
}


@method(
    stage="suppress",
    label="FLAT",
    source="Wang et al. 2024 (arXiv 2410.11143); L = −g*(P(template)) + f*(g*(P(forget answer)))",
    data_access="forget",
)
def flat(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    divergence: Literal["tv", "kl", "pearson", "js"] = "tv",
    learning_rate: Rate = 1e-4,
    retain_weight: Weight = 0.0,
    **suppression: Any,
) -> Any:
    """The model after raising a refusal's mean token probability and lowering the true answer's.

    Args:
        divergence: the f-divergence between the two
        learning_rate: peak learning rate of AdamW
        retain_weight: weight of the retain loss; 0 leaves retain data out
    """
    refused = refusals(task, run)

    @by_items
    def apart(step: Step) -> Tensor:
        good = answer_probability(model, step.of(refused))
        return flat_loss(good, answer_probability(model, step.forget), divergence)

    return suppress(
        model,
        task,
        run,
        apart,
        learning_rate=learning_rate,
        retain_weight=retain_weight,
        **suppression,
    )


def flat_loss(good: Tensor, bad: Tensor, divergence: str) -> Tensor:
    """−g*(P(good)) + f*(g*(P(bad))), averaged over items."""
    g, f_of_g = VARIATIONAL[divergence]
    return (f_of_g(bad) - g(good)).mean()


def answer_probability(model: Any, batch: Batch) -> Tensor:
    """Mean probability of every answer's tokens, shape (items,); unscored tokens have no part in it."""
    p = (-token_losses(scored_logits(model, batch), batch.targets)).exp()
    return item_means(p, batch.rows, len(batch.input_ids))
