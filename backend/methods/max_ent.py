"""Maximum entropy: make the answers to forget questions uniform, keep the retain answers."""

from typing import Any

from backend.context import RunContext
from backend.data import Task
from backend.losses import cross_entropy, uniform_divergence
from backend.models import scored_logits
from backend.registry import Count, Rate, Weight, method
from backend.training import train


@method(
    stage="suppress",
    label="MaxEnt",
    source="Lee et al. 2025 (arXiv 2506.06278); L = KL(U ‖ p)(forget) + w·CE(retain)",
)
def max_ent(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    steps: Count = 60,
    learning_rate: Rate = 1e-3,
    batch_size: Count = 128,
    retain_weight: Weight = 1.0,
    **training: Any,
) -> Any:
    """The model after training its forget answers towards the uniform distribution.

    Args:
        steps: optimiser steps
        learning_rate: peak learning rate of AdamW
        batch_size: forget facts a step, and as many retain facts
        retain_weight: weight of the retain loss
    """
    forget, retain = run.forget_and_retain(batch_size)

    def loss(k: int) -> Any:
        kept = retain(k)
        keep = cross_entropy(scored_logits(model, kept), kept.targets)
        flat = uniform_divergence(scored_logits(model, forget(k)))
        return flat + retain_weight * keep, {"retain_loss": keep, "uniform_kl": flat}

    train(model, loss, run, steps=steps, learning_rate=learning_rate, **training)
    return model
