"""Randomised smoothing: average gradients over noisy copies of the weights."""

from collections.abc import Callable
from typing import Any

import torch

from backend.context import RunContext
from backend.data import Task, stream
from backend.perturbation import moved
from backend.registry import Count, Rate, option


@option(
    slot="optimizer_wrapper",
    label="smoothing",
    source="Fan et al. 2025 (arXiv 2502.05374), randomised smoothing after Cohen et al. 2019 (arXiv 1902.02918)",
)
def random_smoothing(
    model: Any, task: Task, run: RunContext, *, sigma: Rate = 0.01, samples: Count = 2
) -> None:
    """Every step uses the mean gradient at θ + σN over some draws, on the same batches.

    Args:
        sigma: standard deviation of the noise on every weight
        samples: draws a step
    """

    def wrapper(model: Any, backward: Callable[[], Any], step: int) -> Any:
        found = None
        weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
        for draw in range(samples):
            seed = int(stream(run.seed, "smoothing", step, draw).integers(2**62))
            generator = torch.Generator().manual_seed(seed)
            noise = {
                n: (sigma * torch.randn(p.shape, generator=generator)).to(p)
                for n, p in weights.items()
            }
            with moved(model, noise):
                found = backward()
        for weight in weights.values():
            if weight.grad is not None:
                weight.grad.div_(samples)
        return found

    run.wrapper = wrapper
