"""Weight averaging: end at the running mean of the weights, not at the last ones."""

from collections.abc import Callable
from typing import Any

import torch

from backend.context import RunContext
from backend.data import Task
from backend.registry import Share, option


@option(
    slot="optimizer_wrapper",
    label="averaging",
    source="Fan et al. 2025 (arXiv 2502.05374), weight averaging after Izmailov et al. 2018 (arXiv 1803.05407)",
)
def weight_averaging(model: Any, task: Task, run: RunContext, *, decay: Share = 0.9) -> None:
    """The weights at the end are a ← d·a + (1 − d)·θ over all steps, starting at the incoming weights.

    Args:
        decay: share d of the average that a step keeps
    """

    def update(model: Any) -> None:
        for name, weight in model.named_parameters():
            average = run.tensors.setdefault(name, weight.detach().clone())
            average.lerp_(weight.detach(), 1.0 - decay)

    def wrapper(model: Any, backward: Callable[[], Any], step: int) -> Any:
        update(model)
        return backward()

    @torch.no_grad()
    def finish(model: Any) -> None:
        update(model)
        for name, weight in model.named_parameters():
            weight.copy_(run.tensors[name])

    run.wrapper = wrapper
    run.at_end.append(finish)
