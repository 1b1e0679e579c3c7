"""Gradient difference: climb on forget data, descend on retain data."""

from typing import Any

from backend.context import RunContext
from backend.data import Task
from backend.losses import cross_entropy
from backend.models import scored_logits
from backend.registry import Count, Rate, Weight, method
from backend.training import train


@method(
    stage="suppress",
    label="GradDiff",
    source="Liu et al. 2022 (Continual Learning and Private Unlearning); L = w·CE(retain) − CE(forget)",
)
def grad_diff(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    steps: Count = 60,
    learning_rate: Rate = 3e-4,
    batch_size: Count = 128,
    retain_weight: Weight = 1.0,
    **training: Any,
) -> Any:
    """The model after ascent on forget and descent on retain data; the ascent has no bound.

    Args:
        steps: optimiser steps
        learning_rate: peak learning rate of AdamW
        batch_size: forget facts a step, and as many retain facts
        retain_weight: weight of the retain loss
    """
    forget, retain = run.forget_and_retain(batch_size)

    def loss(k: int) -> Any:
        kept, dropped = retain(k), forget(k)
        keep = cross_entropy(scored_logits(model, kept), kept.targets)
        drop = cross_entropy(scored_logits(model, dropped), dropped.targets)
        return retain_weight * keep - drop, {"retain_loss": keep, "forget_loss": drop}

    train(model, loss, run, steps=steps, learning_rate=learning_rate, **training)
    return model
