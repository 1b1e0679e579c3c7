"""UNDO's damage: shrink every weight towards its initial centre and add Xavier noise."""

import math
from typing import Any

import torch


@torch.no_grad()
def add_noise(
    model: Any, initial: Any, alpha: float, beta: float, generator: torch.Generator
) -> None:
    """θ ← (1 − α) θ + α (μ + β N), in place, every tensor once (Lee et al. 2025, corruption step).

    For matrices μ = 0 and N is Xavier-uniform, of standard deviation √(2 / (fan_in + fan_out)). For vectors N = 0 and
    μ is the value that `initial`, a model before any training, has: 1 for the gains of Llama's norms, 0 for Gemma's
    (which multiply by 1 + w), 0 for biases. A tied head is the embedding, so it is noised once. At α = 0 nothing
    changes; at α = 1 and β = 0 matrices are 0 and vectors are as before training.
    """
    starts = dict(initial.named_parameters())
    for name, weight in model.named_parameters():
        matrix = weight.dim() >= 2
        noise = beta * _xavier(weight, generator) if matrix else starts[name].to(weight)
        if alpha > 0:
            weight.mul_(1.0 - alpha).add_(noise, alpha=alpha)


def _xavier(weight: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Xavier-uniform noise of the weight's shape, drawn on the CPU so that every device sees the same."""
    receptive = math.prod(weight.shape[2:])
    fan_in, fan_out = weight.shape[1] * receptive, weight.shape[0] * receptive
    bound = math.sqrt(6.0 / (fan_in + fan_out))
    drawn = torch.rand(weight.shape, generator=generator) * 2.0 - 1.0
    return (bound * drawn).to(weight)
