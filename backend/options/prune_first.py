"""Prune first, then unlearn: the smallest weights are set to 0 and stay there."""

from typing import Any

import torch

from backend.context import RunContext
from backend.data import Task
from backend.registry import Share, option


@option(
    slot="mask",
    label="pruned first",
    source="Jia et al. 2023 (arXiv 2304.04934), prune first, then unlearn, with one-shot magnitude pruning",
)
@torch.no_grad()
def prune_first(model: Any, task: Task, run: RunContext, *, share: Share = 0.3) -> None:
    """The smallest weights of every matrix but the embedding are 0 before training and after it.

    Args:
        share: share of every matrix's weights that is pruned
    """
    for name, weight in model.named_parameters():
        if weight.dim() < 2 or "embed" in name:
            continue
        kept = weight.numel() - int(share * weight.numel())
        chosen = weight.abs().flatten().topk(kept).indices
        mask = torch.zeros(weight.numel(), dtype=torch.bool, device=weight.device)
        mask[chosen] = True
        run.masks[name] = mask.view_as(weight)
        weight.mul_(run.masks[name])
