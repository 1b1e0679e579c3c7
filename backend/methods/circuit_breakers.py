"""Circuit breakers: turn the representation of forget data away from where it was."""

from typing import Any

import torch
import torch.nn.functional as F

from backend.architecture import blocks
from backend.context import RunContext
from backend.data import Task
from backend.models import frozen_copy, hidden_states
from backend.registry import Count, Rate, Weight, Whole, method
from backend.suppression import along, combined
from backend.training import train


@method(
    stage="suppress",
    label="RR",
    source="Zou et al. 2024 (arXiv 2406.04313), algorithm 1; c_s ReLU(cos(h_f, h_f⁰)) + c_r ‖h_r − h_r⁰‖₂",
)
def circuit_breakers(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    steps: Count = 120,
    learning_rate: Rate = 1e-3,
    batch_size: Count = 128,
    layer: Whole = 1,
    alpha: Weight = 10.0,
    **training: Any,
) -> Any:
    """The model whose states after block `layer` are orthogonal to their old ones on forget data, and near on retain data.

    The weight of the first term falls from α to α/2 over the steps, that of the second rises from 0 to α/2. Weights
    above the block get no gradient.

    Args:
        steps: optimiser steps
        learning_rate: peak learning rate of AdamW
        batch_size: forget facts a step, and as many retain facts
        layer: block whose output is turned, 0 is the first; the last one's is taken after the final norm
        alpha: scale of both terms
    """
    layer = min(layer, len(blocks(model)) - 1)
    reference = frozen_copy(model)
    forget, retain = run.forget_and_retain(batch_size)
    batches = steps * training.get("accumulate", 1)

    def loss(k: int) -> Any:
        dropped, kept = forget(k), retain(k)
        with torch.no_grad():
            old = hidden_states(reference, dropped, layer), hidden_states(reference, kept, layer)
        turn, stay = rerouting(
            hidden_states(model, dropped, layer), old[0], hidden_states(model, kept, layer), old[1]
        )
        done = k / (2 * batches)
        return combined(model, (turn, alpha * (1 - done)), (stay, alpha * done), k, steps)

    watched = along(model, task, run, steps)
    with run.meter.watching(reference):
        train(model, loss, run, steps=steps, learning_rate=learning_rate, **watched, **training)
    return model


def rerouting(
    forget: torch.Tensor,
    forget_before: torch.Tensor,
    retain: torch.Tensor,
    retain_before: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(mean ReLU of the cosine on forget states, mean distance of retain states), over rows and positions."""
    turn = F.relu(F.cosine_similarity(forget, forget_before, dim=-1)).mean()
    return turn, torch.linalg.vector_norm(retain - retain_before, dim=-1).mean()
