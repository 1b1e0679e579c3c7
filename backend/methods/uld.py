"""ULD: subtract the logits of an assistant that knows what shall be forgotten and nothing else."""

from typing import Any

import torch

from backend.context import RunContext
from backend.data import Task
from backend.losses import cross_entropy, uniform_divergence
from backend.models import scored_logits
from backend.registry import Count, Rate, Share, Weight, method
from backend.training import train
from backend.wrapping import Wrapper, finished, first_layers, logits_of


class Assisted(Wrapper):
    """z = z₀ + w·z_assistant, the assistant silent on tokens that the base finds unlikely."""

    def __init__(self, base: Any, layers: int, weight: float, quiet: float):
        super().__init__(
            base,
            {"name": "uld", "parameters": {"layers": layers, "weight": weight, "quiet": quiet}},
        )
        self.assistant = first_layers(base, layers)
        self.weight, self.quiet = weight, quiet
        self.beside(self.assistant)

    def logits(self, input_ids: torch.Tensor, keep: Any) -> torch.Tensor:
        """See the class."""
        plain = logits_of(self.base, input_ids, keep)
        p = plain.softmax(-1)
        likely = p >= self.quiet * p.max(dim=-1, keepdim=True).values
        return plain + self.weight * logits_of(self.assistant, input_ids, keep) * likely


structure = Assisted


@method(
    stage="wrap",
    label="ULD",
    source="Ji et al. 2024 (arXiv 2406.08607), eq. 3–4; z = z₀ − w·z_assistant",
    threat_model="black_box",
)
def uld(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    weight: float = -0.8,
    quiet: Share = 0.01,
    layers: Count = 1,
    steps: Count = 300,
    learning_rate: Rate = 1e-3,
    batch_size: Count = 128,
    retain_weight: Weight = 5.0,
    **training: Any,
) -> Any:
    """The incoming model behind an assistant made of its first blocks, which learns forget data and knows no retain data.

    Args:
        weight: w; 0 is the incoming model
        quiet: the assistant counts only for tokens whose probability is at least this share of the largest
        layers: blocks of the assistant
        steps: optimiser steps of the assistant
        learning_rate: peak learning rate of AdamW
        batch_size: forget facts a step, and as many retain facts
        retain_weight: weight of the assistant's KL(U ‖ p) on retain data
    """
    wrapper = Assisted(model, layers, weight, quiet)
    assistant = wrapper.assistant
    forget, retain = run.forget_and_retain(batch_size)

    def loss(k: int) -> Any:
        dropped, kept = forget(k), retain(k)
        know = cross_entropy(scored_logits(assistant, dropped), dropped.targets)
        flat = uniform_divergence(scored_logits(assistant, kept))
        return know + retain_weight * flat, {"forget_loss": know, "uniform_kl": flat}

    train(assistant, loss, run, steps=steps, learning_rate=learning_rate, **training)
    return finished(wrapper, run)
