"""Selective synaptic dampening: shrink the weights that matter to forget data more than to all data."""

from typing import Any, Literal

import torch

from backend.context import RunContext
from backend.data import Task
from backend.registry import Count, Rate, method
from backend.saliency import fisher


@method(
    stage="suppress",
    label="SSD",
    source="Foster et al. 2023 (arXiv 2308.07707), eq. 6; where I_f > α I_D: θ ← min(λ I_D / I_f, 1) θ",
    neutral={"against": "all"},
)
def ssd(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    alpha: Rate = 1.0,
    dampening: Rate = 0.01,
    items: Count = 400,
    against: Literal["all", "retain"] = "all",
) -> Any:
    """The model with its forget-specific weights shrunk; nothing is trained.

    All data hold the forget data too, so no weight matters more to those than all / forget items as much, and none is
    shrunk below λ · forget / all items: where forget data are many, λ has to be far below the paper's 1, or the
    comparison made with retain data, which bears the paper's α = 10 and λ = 1.

    Args:
        alpha: how many times more a weight must matter to forget data than to the others to be shrunk
        dampening: λ, how far it is shrunk
        items: forget and retain items, each, over which the Fisher information is estimated
        against: the others: all data as in the paper, or the retain data
    """
    sizes = {part: len(task.train[part]) for part in ("forget", "retain")}
    found = {part: fisher(model, run, task.train[part], items, part) for part in sizes}
    share = sizes["forget"] / sum(sizes.values()) if against == "all" else 0.0
    with torch.no_grad():
        for name, weight in model.named_parameters():
            forget = found["forget"][name]
            everything = share * forget + (1 - share) * found["retain"][name]
            weight.mul_(dampened(forget, everything, alpha, dampening))
    return model


def dampened(
    forget: torch.Tensor, everything: torch.Tensor, alpha: float, dampening: float
) -> torch.Tensor:
    """The factor of every weight: min(λ I_D / I_f, 1) where I_f > α I_D, else 1."""
    factor = (dampening * everything / forget).clamp(max=1.0)
    return torch.where(forget > alpha * everything, factor, torch.ones_like(factor))
