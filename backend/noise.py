"""Damage to weights: UNDO's shrinking and noise, everywhere or in some places, and pruning."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from backend.architecture import kind


@torch.no_grad()
def add_noise(
    model: Any,
    initial: Any,
    alpha: float,
    beta: float,
    generator: torch.Generator,
    masks: Mapping[str, Tensor] | None = None,
) -> None:
    """θ ← (1 − α) θ + α (μ + β N), in place, every tensor once (Lee et al. 2025, corruption step).

    For matrices μ = 0 and N is Xavier-uniform, of standard deviation √(2 / (fan_in + fan_out)). For vectors N = 0 and
    μ is the value that `initial`, a model before any training, has: 1 for the gains of Llama's norms, 0 for Gemma's
    (which multiply by 1 + w), 0 for biases. The experts of a mixture, stored in one tensor, are a matrix each. A tied
    head is the embedding, so it is noised once. At α = 0 nothing
    changes; at α = 1 and β = 0 matrices are 0 and vectors are as before training.

    With `masks` (boolean, of the weights' shapes, by name) only what they choose is damaged, with the same noise that
    it would get without them; tensors that they do not name stay as they are.
    """
    starts = dict(initial.named_parameters())
    for name, weight in model.named_parameters():
        matrix = weight.dim() >= 2
        noise = beta * _xavier(name, weight, generator) if matrix else starts[name].to(weight)
        if alpha > 0 and masks is None:
            weight.mul_(1.0 - alpha).add_(noise, alpha=alpha)
        elif alpha > 0 and masks is not None and name in masks:
            weight.copy_(torch.where(masks[name], (1.0 - alpha) * weight + alpha * noise, weight))


def _xavier(name: str, weight: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Xavier-uniform noise of the weight's shape, drawn on the CPU so that every device sees the same."""
    fan_out, fan_in = weight.shape[-2:]  # of experts, which come first, every one has its own
    if name.endswith("experts.gate_up_proj"):
        fan_out //= 2  # two matrices one above the other
    bound = math.sqrt(6.0 / (fan_in + fan_out))
    drawn = torch.rand(weight.shape, generator=generator) * 2.0 - 1.0
    return (bound * drawn).to(weight)


@torch.no_grad()
def prune_smallest(model: Any, share: float) -> dict[str, Tensor]:
    """Set the smallest weights of every matrix but embedding and head to 0, in place; masks of the ones that are left.

    One-shot magnitude pruning, each matrix and each expert's for itself: int(share · its weights) of them go.
    """
    masks = {}
    for name, weight in model.named_parameters():
        if weight.dim() < 2 or kind(name) in ("embedding", "head"):
            continue
        sizes = weight.abs().reshape(-1, weight.shape[-2] * weight.shape[-1])  # a row a matrix
        kept = sizes.shape[1] - int(share * sizes.shape[1])
        mask = torch.zeros_like(sizes, dtype=torch.bool)
        masks[name] = mask.scatter_(1, sizes.topk(kept).indices, True).view_as(weight)
        weight.mul_(masks[name])
    return masks
