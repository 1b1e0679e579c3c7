"""UNDIAL: distil from itself with the true answers' logits lowered."""

from typing import Any

import torch
import torch.nn.functional as F

from backend.context import RunContext
from backend.data import Task
from backend.models import frozen_copy, scored_logits
from backend.ranks import by_tokens
from backend.registry import Count, Weight, method
from backend.suppression import Step, suppress


@method(
    stage="suppress",
    label="UNDIAL",
    source="Dong et al. 2024 (arXiv 2402.10052), eq. 3–4; L = CE(softmax(z₀ − β·onehot(y)), p) + w·CE(retain)",
)
def undial(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    beta: Weight = 30.0,
    steps: Count = 200,
    **suppression: Any,
) -> Any:
    """The model after imitating the incoming one with the true tokens' logits lowered by β.

    Args:
        beta: how far the true token's logit is lowered; small sure models need more than the paper's 10
        steps: optimiser steps
    """
    reference = frozen_copy(model)

    @by_tokens
    def imitate(step: Step) -> Any:
        batch = step.forget
        with torch.no_grad():
            wanted = scored_logits(reference, batch).float()
            wanted.scatter_add_(1, batch.targets[:, None], torch.full_like(wanted[:, :1], -beta))
        return F.cross_entropy(scored_logits(model, batch).float(), wanted.softmax(-1))

    with run.meter.watching(reference):
        return suppress(model, task, run, imitate, steps=steps, **suppression)
