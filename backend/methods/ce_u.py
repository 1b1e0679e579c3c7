"""CE-U: imitate oneself without the true token."""

from typing import Any

import torch
import torch.nn.functional as F

from backend.batches import Batch
from backend.context import RunContext
from backend.data import Task
from backend.models import scored_logits
from backend.registry import Rate, Weight, Whole, method
from backend.suppression import Step, suppress


@method(
    stage="suppress",
    label="CE-U",
    source="Yang 2025 (arXiv 2503.01224); L = CE(softmax(z with z_y = −∞, held), p)",
    data_access="forget",
)
def ce_u(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    ignore_first: Whole = 1,
    learning_rate: Rate = 1e-4,
    retain_weight: Weight = 0.0,
    **suppression: Any,
) -> Any:
    """The model after imitating its own answers with the true token ruled out.

    Args:
        ignore_first: tokens at an answer's start that are left alone; an answer's last token never is
        learning_rate: peak learning rate of AdamW
        retain_weight: weight of the retain loss; 0 leaves retain data out
    """

    def imitate(step: Step) -> Any:
        batch = step.forget
        logits = scored_logits(model, batch).float()
        target = logits.detach().scatter(1, batch.targets[:, None], float("-inf")).softmax(-1)
        losses = F.cross_entropy(logits, target, reduction="none")
        return losses[later_tokens(batch, ignore_first)].mean()

    return suppress(
        model,
        task,
        run,
        imitate,
        learning_rate=learning_rate,
        retain_weight=retain_weight,
        **suppression,
    )


def later_tokens(batch: Batch, ignored: int) -> torch.Tensor:
    """Which scored tokens are not among the first `ignored` of their answer, or are its last, shape (scored,)."""
    rows = batch.rows
    sizes = torch.bincount(rows, minlength=len(batch.input_ids))
    starts = torch.cumsum(sizes, 0) - sizes
    position = torch.arange(len(rows), device=rows.device) - starts[rows]
    return (position >= ignored) | (position == sizes[rows] - 1)
