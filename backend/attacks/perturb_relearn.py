"""Relearning after a small noise: a push out of the place in which unlearning left the weights."""

from typing import Any

import torch

from backend.context import RunContext
from backend.data import Task
from backend.registry import Weight, attack
from backend.relearning import relearned
from backend.weights import in_hand, matrices, spread


@attack(
    label="Noise, then relearning",
    source="Lee et al. 2025 (arXiv 2506.06278), relearning; W + σ·RMS(W)·N(0, 1) before it",
    counts="weights",
    has_steps=True,
)
def perturb_relearn(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    noise: Weight = 0.1,
    **relearning: Any,
) -> Any:
    """The model after Gaussian noise on every matrix and relearning, measured from the noisy model on.

    Args:
        noise: standard deviation of the noise as a share of a matrix's root mean square, the embedding's included
    """
    _disturb(in_hand(model), noise, run.generator("noise"))
    return relearned(model, run, **relearning)


@torch.no_grad()
def _disturb(model: Any, noise: float, generator: torch.Generator) -> None:
    """W ← W + noise · RMS(W) · N(0, 1), in place, every matrix and every expert by its own size."""
    for _, weight in matrices(model, embedding=True):
        drawn = torch.randn(weight.shape, generator=generator).to(weight)
        weight.add_(noise * spread(weight) * drawn)
