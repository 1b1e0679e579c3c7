"""Targeted latent adversarial training: unlearn also under the worst disturbance of a hidden state."""

from typing import Any

import torch

from backend.architecture import blocks
from backend.batches import Batch
from backend.context import RunContext
from backend.data import Task
from backend.losses import token_losses
from backend.models import scored_logits
from backend.ranks import by_tokens
from backend.registry import Count, Rate, Whole, method
from backend.representations import added_after, clipped
from backend.suppression import Step, suppress


@method(
    stage="suppress",
    label="LAT",
    source="Sheshadri et al. 2024 (arXiv 2407.15549), eq. 3; min −log(1 − p(y_f | h + δ*)) + w·CE(retain), δ* = argmax p, ‖δ‖ ≤ ε",
    version=2,
)
def lat(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    layer: Whole = 0,
    epsilon: Rate = 1.0,
    inner_steps: Count = 4,
    inner_rate: Rate = 0.5,
    **suppression: Any,
) -> Any:
    """The model that denies forget answers although an adversary adds the best vector to a block's output.

    Args:
        layer: block after whose output the adversary adds its vectors, 0 is the first
        epsilon: largest Euclidean length of a vector, one at every position of every item
        inner_steps: steps of projected gradient ascent on the vectors
        inner_rate: length of such a step, along the normalised gradient
    """
    layer = min(layer, len(blocks(model)) - 1)

    @by_tokens
    def deny(step: Step) -> Any:
        delta = adversary(model, step.forget, layer, epsilon, inner_steps, inner_rate)
        with added_after(model, layer, delta):
            return denial(scored_logits(model, step.forget), step.forget.targets)

    return suppress(model, task, run, deny, **suppression)


def denial(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean −log(1 − p) of the true tokens, in nats; not by way of p, which is rounded to 1 where a model is sure."""
    logits = logits.float()
    others = logits.scatter(1, targets[:, None], float("-inf"))
    return (logits.logsumexp(-1) - others.logsumexp(-1)).mean()


def adversary(
    model: Any, batch: Batch, layer: int, epsilon: float, steps: int, rate: float
) -> torch.Tensor:
    """The vectors, shape (rows, length, width), that make the true answers likely; none longer than ε."""
    shape = (*batch.input_ids.shape, model.config.hidden_size)
    delta = torch.zeros(shape, device=batch.input_ids.device)
    for _ in range(steps):
        delta.requires_grad_(True)
        with added_after(model, layer, delta):
            loss = token_losses(scored_logits(model, batch), batch.targets).sum()
        (gradient,) = torch.autograd.grad(loss, delta)
        size = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True).clamp(min=1e-12)
        delta = clipped(delta.detach() - rate * gradient / size, epsilon)
    return delta
