"""Representation misdirection: push hidden states of forget data towards a random direction."""

from typing import Any

import torch
import torch.nn.functional as F

from backend.architecture import blocks, mlp_output
from backend.context import RunContext
from backend.data import Task
from backend.models import frozen_copy, hidden_states
from backend.ranks import by_rows
from backend.registry import Count, Rate, Weight, Whole, method
from backend.suppression import along, combined
from backend.training import train


@method(
    stage="suppress",
    label="RMU",
    families=["dense"],
    source="Li et al. 2024 (WMDP, arXiv 2403.03218); L = MSE(h_f, c·u) + w·MSE(h_r, h_r of the base)",
)
def rmu(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    steps: Count = 120,
    learning_rate: Rate = 1e-3,
    batch_size: Count = 128,
    layer: Whole = 1,
    coefficient: Rate = 20.0,
    retain_weight: Weight = 10.0,
    **training: Any,
) -> Any:
    """The model whose block `layer` maps forget data near c·u, with u a unit vector drawn once for the seed.

    Only the MLPs' projections to the residual stream up to that block are trained; retain states are held at those of the incoming
    model.

    Args:
        steps: optimiser steps
        learning_rate: peak learning rate of AdamW
        batch_size: forget facts a step, and as many retain facts
        layer: block whose output is steered, 0 is the first
        coefficient: length c of the target vector
        retain_weight: weight of the retain term
    """
    outputs = [mlp_output(block) for block in blocks(model)]
    layer = min(layer, len(outputs) - 1)
    reference = frozen_copy(model)
    model.requires_grad_(False)
    for output in outputs[: layer + 1]:
        output.requires_grad_(True)
    width = model.config.hidden_size
    direction = F.normalize(torch.randn(width, generator=run.generator("direction")), dim=0)
    target = coefficient * direction.to(run.device)
    forget, retain = run.forget_and_retain(batch_size)

    @by_rows
    def loss(k: int) -> Any:
        kept, dropped = retain(k), forget(k)
        steered = hidden_states(model, dropped, layer)
        with torch.no_grad():
            held = hidden_states(reference, kept, layer)
        away = F.mse_loss(steered, target.expand_as(steered)) * dropped.items_share
        near = F.mse_loss(hidden_states(model, kept, layer), held) * kept.items_share
        return combined(model, (away, 1.0), (near, retain_weight), k, steps)

    watched = along(model, task, run, steps)
    with run.meter.watching(reference):
        train(model, loss, run, steps=steps, learning_rate=learning_rate, **watched, **training)
    model.requires_grad_(True)
    return model
