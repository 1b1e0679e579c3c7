"""Tuning on harmless data that leaves a model's first answer tokens where they are."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.batches import Batch, Loader
from backend.context import RunContext
from backend.data import IGNORE, Examples
from backend.losses import token_losses
from backend.models import scored_logits
from backend.training import train

BEFORE = "before constrained tuning"  # where a resumed run finds the reference's losses


@dataclass(frozen=True)
class Betas:
    """How strongly an answer's tokens are held: the first one, the others among the `count` first ones, the rest."""

    count: int
    first: float
    early: float
    rest: float

    def of(self, positions: Tensor) -> Tensor:
        """β of tokens at these positions in their answers, 1 the first; same shape, float32."""
        held = torch.where(positions <= self.count, self.early, self.rest)
        return torch.where(positions == 1, self.first, held).float()


def answer_positions(batch: Batch) -> Tensor:
    """Which token of its answer every scored token is, 1 the first, shape (scored,)."""
    if batch.chosen is not None:
        return batch.chosen.cumsum(dim=1)[batch.chosen]
    places = torch.arange(1, len(batch.columns) + 1, device=batch.columns.device)
    return places.repeat(len(batch.input_ids))


def constrained_loss(losses: Tensor, before: Tensor, betas: Tensor) -> Tensor:
    """Mean of −(2/β_t) log σ(β_t log(p/p₀)) over tokens, from their losses −log p and −log p₀, all shapes (scored,).

    Qi et al. 2024 (arXiv 2406.05946), eq. 3, with the mean over tokens in place of the sum. Its gradient is that of
    cross-entropy with every token weighted by 2 σ(−β_t log(p/p₀)): 1 at the reference, 0 far above it, which is where a
    large β arrives early; β → 0 gives cross-entropy's own.
    """
    gain = before - losses
    return (2.0 / betas * F.softplus(-betas * gain)).mean()


@torch.no_grad()
def token_losses_before(model: Any, run: RunContext, loader: Loader, rows: int = 1024) -> Tensor:
    """−log p of every scored token under a model as it is now, shape (examples, columns), 0 where nothing is scored.

    One pass instead of a reference in memory.
    """
    found = torch.zeros(loader.targets.shape, device=loader.targets.device)
    with run.meter.watching(model):
        for start in range(0, len(loader), rows):
            part = slice(start, start + rows)
            batch = loader.batch(part)
            losses = token_losses(scored_logits(model, batch), batch.targets)
            found[part][loader.targets[part] != IGNORE] = losses
    return found


def tune_constrained(
    model: Any,
    run: RunContext,
    examples: Examples,
    betas: Betas,
    *,
    steps: int,
    learning_rate: float,
    batch_size: int,
    **training: Any,
) -> Any:
    """The model after fine-tuning on the examples' answers, held at the probabilities that it came in with."""
    batches = run.batches(examples, batch_size, "constrained")
    loader, order = batches.loader, batches.order
    # Read back at every step: a resumed run fills in what the tuning had started from.
    run.tensors[BEFORE] = token_losses_before(model, run, loader)

    def loss(k: int) -> Tensor:
        indices = torch.from_numpy(order.batch(k))
        batch = loader.batch(indices)
        before = run.tensors[BEFORE][indices][loader.targets[indices] != IGNORE]
        losses = token_losses(scored_logits(model, batch), batch.targets)
        return constrained_loss(losses, before, betas.of(answer_positions(batch)))

    train(model, loss, run, steps=steps, learning_rate=learning_rate, **training)
    run.tensors.pop(BEFORE)
    return model
