"""Task-vector negation: learn the forget data even better, then walk the other way."""

from typing import Any

import torch

from backend import chunked
from backend.context import RunContext
from backend.data import Task
from backend.registry import Count, Rate, method
from backend.training import train


@method(
    stage="suppress",
    label="Task vector",
    source="Ilharco et al. 2022 (arXiv 2212.04089), eq. 2; θ = θ₀ − α (θ_reinforced − θ₀)",
    data_access="forget",
)
def task_vector(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    alpha: Rate = 1.0,
    steps: Count = 60,
    learning_rate: Rate = 2e-3,
    batch_size: Count = 128,
    **training: Any,
) -> Any:
    """The model minus α times what training on forget data adds to it.

    Args:
        alpha: length of the walk away from the reinforced model
        steps: optimiser steps of the reinforcement
        learning_rate: peak learning rate of AdamW
        batch_size: forget facts a step
    """
    before = _plain(model)
    forget = run.batches(task.train["forget"], batch_size, "forget")

    def loss(k: int) -> Any:
        batch = forget(k)
        return chunked.cross_entropy(model, batch)

    train(model, loss, run, steps=steps, learning_rate=learning_rate, **training)

    @torch.no_grad()
    def negate(reinforced: Any) -> None:
        for name, weight in reinforced.named_parameters():
            weight.copy_(before[name] - alpha * (weight - before[name]))

    # At the end, since what averaging or a merged adapter makes of the training is what counts.
    run.at_end.append(negate)
    return model


def _plain(model: Any) -> dict[str, torch.Tensor]:
    """Copies of the weights under the names that they have without an adapter."""
    return {
        name.replace(".base_layer.", "."): weight.detach().clone()
        for name, weight in model.named_parameters()
        if "lora_" not in name
    }
