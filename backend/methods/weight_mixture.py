"""Weight mixture: walk from the base to the suppressed model as far as one likes."""

from typing import Any

import torch

from backend.context import RunContext
from backend.data import Task
from backend.registry import Share, method
from backend.shapes import same_sizes
from backend.stage import RunFailed


@method(
    stage="robustify",
    label="Mixture",
    source="Wortsman et al. 2022 (arXiv 2109.01903); θ = (1 − w) θ_base + w θ_suppressed",
    needs={"base": {}},
    data_access="none",
)
def weight_mixture(model: Any, task: Task, run: RunContext, *, share: Share = 0.5) -> Any:
    """The weights between the base and the incoming model: a nearly free front.

    Args:
        share: share of the incoming model, 0 is the base

    Raises:
        RunFailed: the incoming model has another shape than the base
    """
    start = run.input("base")
    if not same_sizes(model.config.to_dict(), start):
        raise RunFailed("A model of another shape than the base cannot be mixed with it.")
    base = dict(start.named_parameters())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(torch.lerp(base[name], weight, share))
    return model
