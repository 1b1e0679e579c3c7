"""Prune first, then unlearn: the smallest weights are set to 0 and stay there."""

from typing import Any

from backend.context import RunContext
from backend.data import Task
from backend.noise import prune_smallest
from backend.registry import Share, option


@option(
    slot="mask",
    label="pruned first",
    source="Jia et al. 2023 (arXiv 2304.04934), prune first, then unlearn, with one-shot magnitude pruning",
)
def prune_first(model: Any, task: Task, run: RunContext, *, share: Share = 0.3) -> None:
    """The smallest weights of every matrix but the embedding are 0 before training and after it.

    Args:
        share: share of every matrix's weights that is pruned
    """
    run.masks |= prune_smallest(model, share)
