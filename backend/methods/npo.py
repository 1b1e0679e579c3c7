"""Negative preference optimisation: gradient ascent that brakes once an answer is unlikely."""

from typing import Any

import torch.nn.functional as F

from backend.context import RunContext
from backend.data import Task
from backend.ranks import by_items
from backend.registry import Rate, method
from backend.suppression import Step, losses_before, summed_losses, suppress


@method(
    stage="suppress",
    label="NPO",
    source="Zhang et al. 2024 (arXiv 2404.05868), eq. 3; L = −(2/β) log σ(−β log p/p₀)(forget) + w·CE(retain)",
)
def npo(model: Any, task: Task, run: RunContext, *, beta: Rate = 0.1, **suppression: Any) -> Any:
    """The model after lowering its answers' odds against the incoming model's; tends to gradient ascent as β → 0.

    Args:
        beta: how soon an item that is unlikely enough stops to count
    """
    before = losses_before(model, run, task.train["forget"])

    @by_items
    def avoid(step: Step) -> Any:
        lost = summed_losses(model, step.forget) - before[step.indices]
        return (2.0 / beta) * F.softplus(-beta * lost).mean()

    return suppress(model, task, run, avoid, **suppression)
