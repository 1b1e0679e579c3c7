"""Primal-dual unlearning: flatten forget logits under a bound on the retain loss."""

from typing import Any

import torch

from backend import chunked
from backend.context import RunContext
from backend.data import Task
from backend.models import scored_logits
from backend.registry import Count, Rate, Weight, Whole, method
from backend.suppression import along, combined, losses_before
from backend.training import train


@method(
    stage="suppress",
    label="PDU",
    source="Entesari et al. 2025 (arXiv 2506.05314); min E(max z − mean z)² subject to ℓ(retain) ≤ ε, λ ← max(0, λ + η(ℓ − ε))",
)
def pdu(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    steps: Count = 60,
    learning_rate: Rate = 1e-3,
    batch_size: Count = 128,
    slack: Weight = 0.05,
    dual_rate: Weight = 1.0,
    dual_start: Weight = 1.0,
    dual_warmup: Whole = 0,
    **training: Any,
) -> Any:
    """The model after descent on flatness of the forget logits, the retain loss held within `slack` of the base's.

    Args:
        steps: optimiser steps
        learning_rate: peak learning rate of AdamW
        batch_size: forget facts a step, and as many retain facts
        slack: nats a token by which the retain loss may exceed the incoming model's
        dual_rate: step size η of the multiplier
        dual_start: the multiplier at the start
        dual_warmup: steps over which the multiplier stays as it starts
    """
    forget, retain = run.forget_and_retain(batch_size)
    kept = task.train["retain"]
    scored = int((kept.targets != -100).sum())
    bound = losses_before(model, run, kept).sum().item() / scored + slack
    run.state.setdefault("multiplier", dual_start)

    def loss(k: int) -> Any:
        held, dropped = retain(k), forget(k)
        keep = chunked.cross_entropy(model, held)
        flat = flatness(scored_logits(model, dropped))
        multiplier = run.state["multiplier"]
        if k >= dual_warmup:
            run.state["multiplier"] = max(0.0, multiplier + dual_rate * (keep.item() - bound))
        total, found = combined(model, (flat, 1.0), (keep, multiplier), k, steps)
        return total, {**found, "multiplier": torch.tensor(multiplier)}

    watched = along(model, task, run, steps)
    train(model, loss, run, steps=steps, learning_rate=learning_rate, **watched, **training)
    return model


def flatness(logits: torch.Tensor) -> torch.Tensor:
    """Mean over tokens of (max z − mean z)², zero where all logits are equal."""
    logits = logits.float()
    return (logits.max(dim=-1).values - logits.mean(dim=-1)).square().mean()
