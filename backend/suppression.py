"""What most suppressions share: a loss on forget data beside one on retain data, and what is watched along the way."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from backend import chunked
from backend.batches import Batch
from backend.context import RunContext
from backend.data import Examples, Task
from backend.evaluation import rows_at_once
from backend.losses import item_sums
from backend.models import frozen_copy
from backend.ranks import by_rows, divided, team
from backend.registry import Count, Rate, Weight
from backend.training import train

# Left out of fingerprints where they have these values, so that old runs keep their names.
NEUTRAL = {"forget_weight": 1.0, "retain_loss": "nll"}
LOOKS = 5  # how often utility is measured along the way
COSINES = 10  # how often the gradients of the two losses are compared


@dataclass(frozen=True)
class Step:
    """What a forget loss sees: the forget batch, its items, and the same items of other examples."""

    run: RunContext
    k: int  # number of the batch
    steps: int
    indices: Tensor  # the batch's items among the forget training data
    forget: Batch

    def of(self, examples: Examples) -> Batch:
        """The batch's items in another form: other answers to the same questions, say."""
        return self.run.loader(examples).batch(self.indices)


ForgetLoss = Callable[[Step], Tensor]


def suppress(
    model: Any,
    task: Task,
    run: RunContext,
    forget_loss: ForgetLoss | None,
    *,
    steps: Count = 60,
    learning_rate: Rate = 1e-3,
    batch_size: Count = 128,
    forget_weight: Weight = 1.0,
    retain_weight: Weight = 1.0,
    retain_loss: Literal["nll", "kl"] = "nll",
    **training: Any,
) -> Any:
    """The model after training on forget_weight · forget loss + retain_weight · retain loss.

    A part that suppresses by such a loss takes these parameters as `**suppression`. Along the way it is recorded how
    useful the model still is (`retain_validation`) and how far the two gradients agree (`gradient_cosine`); neither
    counts as the run's cost.

    Args:
        steps: optimiser steps
        learning_rate: peak learning rate of AdamW
        batch_size: forget facts a step, and as many retain facts
        forget_weight: weight of the forget loss
        retain_weight: weight of the retain loss; 0 leaves retain data out
        retain_loss: nll on the true answers, or kl to the incoming model's
    """
    forget, retain = run.forget_and_retain(batch_size)
    reference = frozen_copy(model) if retain_loss == "kl" and retain_weight else None

    def keep(batch: Batch) -> Tensor:
        if reference is None:
            return chunked.cross_entropy(model, batch)
        return chunked.forward_divergence(reference, model, batch)

    def loss(k: int) -> tuple[Tensor, dict[str, Tensor]]:
        kept = keep(retain(k)) if retain_weight else None
        drop = None
        if forget_loss is not None:
            batch = forget(k)
            drop = forget_loss(Step(run, k, steps, torch.from_numpy(forget.rows(k)), batch))
            drop = _shared(drop, batch, divided(forget_loss))
        return combined(model, (drop, forget_weight), (kept, retain_weight), k, steps)

    with run.meter.watching(*([reference] if reference is not None else [])):
        train(
            model,
            by_rows(loss) if forget_loss is None or divided(forget_loss) else loss,
            run,
            steps=steps,
            learning_rate=learning_rate,
            **along(model, task, run, steps),
            **training,
        )
    return model


def _shared(drop: Tensor, batch: Batch, how: str | None) -> Tensor:
    """A forget loss on a rank's part of a batch, so that the mean over ranks is that on the whole batch."""
    share = {"tokens": batch.tokens_share, "items": batch.items_share}.get(how or "", 1.0)
    return drop if share == 1.0 else drop * share


def along(model: Any, task: Task, run: RunContext, steps: int) -> dict[str, Any]:
    """What `train` takes to measure utility along the way, outside the run's cost: its check, and how often."""

    def look(step: int) -> bool:
        with run.meter.paused():
            run.metric(model, "retain_validation", task.retain_metric, step)
        return False

    return {"check": look, "check_every": max(1, steps // LOOKS)}


def combined(
    model: Any,
    forget: tuple[Tensor | None, float],
    retain: tuple[Tensor | None, float],
    k: int,
    steps: int,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The sum of two losses times their weights with its named parts; where it is due, the cosine of their gradients."""
    (drop, forget_weight), (kept, retain_weight) = forget, retain
    parts = {}
    if kept is not None:
        parts["retain_loss"] = kept
    if drop is not None:
        parts["forget_loss"] = drop
    if kept is None or drop is None:
        only = kept if drop is None else forget_weight * drop
        assert only is not None, "a suppression without any loss"
        return (retain_weight * only if drop is None else only), parts
    if k % max(1, steps // COSINES) == 0 and not team().sharded:  # no rank has all weights there
        parts["gradient_cosine"] = gradient_cosine(model, drop, kept)
    return retain_weight * kept + forget_weight * drop, parts


def gradient_cosine(model: Any, one: Tensor, other: Tensor) -> Tensor:
    """Cosine of two losses' gradients over all trained weights: −1 where forgetting costs just what retaining gains."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    flat = [
        torch.cat(
            [
                (torch.zeros_like(w) if g is None else g).flatten()
                for w, g in zip(weights, found, strict=True)
            ]
        )
        for found in (
            torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
            for loss in (one, other)
        )
    ]
    if team().dividing:
        flat = [team().mean(gradient) for gradient in flat]
    return torch.nn.functional.cosine_similarity(flat[0], flat[1], dim=0)


def summed_losses(model: Any, batch: Batch) -> Tensor:
    """−log p of every item's whole answer, shape (items,), in nats."""
    losses = chunked.token_losses(model, batch)
    return item_sums(losses, batch.rows, len(batch.input_ids))


@torch.no_grad()
def losses_before(model: Any, run: RunContext, examples: Examples) -> Tensor:
    """−log p of every example's answer under the incoming model: one pass instead of a reference in memory."""
    loader = run.loader(examples)
    rows = rows_at_once(model, loader)
    with run.meter.watching(model):
        found = [summed_losses(model, batch) for batch in loader.parts(rows)]
    return torch.cat(found)
