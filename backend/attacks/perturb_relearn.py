"""Relearning after a small noise: a push out of the place in which unlearning left the weights."""

from typing import Any, Literal

import torch

from backend.context import RunContext
from backend.data import Task
from backend.registry import Count, Rate, Weight, Whole, attack
from backend.relearning import relearned
from backend.weights import bare, matrices, spread


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
    learning_rate: Rate = 1e-3,
    steps: Count = 150,
    batch_size: Count = 64,
    evaluate_every: Count = 10,
    examples: Whole = 0,
    choose: Literal["random", "hurt"] = "random",
    data: Literal["forget", "mixed", "unlabelled"] = "forget",
    **training: Any,
) -> Any:
    """The model after Gaussian noise on every matrix and relearning, measured from the noisy model on.

    Args:
        noise: standard deviation of the noise as a share of a matrix's root mean square, the embedding's included
        learning_rate: peak learning rate; the worst case over several counts
        steps: optimiser steps
        batch_size: forget facts of the attack part a step; all of them where there are fewer
        evaluate_every: steps between measurements
        examples: how many facts of the attack part the attacker has; 0 is all of them
        choose: which ones: drawn at random, or those whose loss is largest
        data: the facts alone, mixed half and half with retain facts, or their questions without any answer
    """
    _disturb(bare(model), noise, run.generator("noise"))
    return relearned(
        model,
        run,
        batch_size=batch_size,
        examples=examples,
        choose=choose,
        data=data,
        learning_rate=learning_rate,
        steps=steps,
        evaluate_every=evaluate_every,
        **training,
    )


@torch.no_grad()
def _disturb(model: Any, noise: float, generator: torch.Generator) -> None:
    """W ← W + noise · RMS(W) · N(0, 1), in place, every matrix and every expert by its own size."""
    for _, weight in matrices(model, embedding=True):
        drawn = torch.randn(weight.shape, generator=generator).to(weight)
        weight.add_(noise * spread(weight) * drawn)
