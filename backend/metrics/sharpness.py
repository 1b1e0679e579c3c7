"""Sharpness: how much does the loss rise at the worst near weights?"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from backend.batches import Loader
from backend.evaluation import score
from backend.examination import Examination, Readings
from backend.layerwise import ROWS, blocks_of
from backend.losses import item_means, token_losses
from backend.models import scored_logits
from backend.perturbation import moved
from backend.registry import Rate, metric


@metric(
    label="sharpness",
    source="Foret et al. 2021 (arXiv 2010.01412): SAM's ascent step, radius 0.05",
    direction="none",
    floor=None,
    unit="nats",
    range=[None, None],
    takes="examination",
)
def sharpness(examined: Examination, *, rho: Rate = 0.05) -> Readings:
    """Loss at θ + ρ g/‖g‖ minus loss at θ, where g is the gradient over all weights of a split's mean answer loss.

    By item, for forget and for retain items, each with the gradient of its own split. Unlearning that ends in a sharp
    place is undone by a small change of the weights. To first order ρ‖g‖. It says how near the edge a model stands, not
    what it knows; relearning shows what lies beyond.

    Args:
        rho: Euclidean length of the step over all weights together
    """
    model = examined.of("model")
    blocks_of(model)  # a wrapper's parts are not trained together
    found: dict[str | tuple[str, str], np.ndarray] = {}
    for split in ("forget_score", "retain_score"):
        loader = examined.loader(split)
        gradient = _gradient(model, loader)
        length = torch.stack([g.double().square().sum() for g in gradient.values()]).sum().sqrt()
        scale = rho / max(float(length), 1e-30)  # where all gradients are 0, so is the step
        before = examined.scores(split)
        with moved(model, {name: scale * g for name, g in gradient.items()}):
            after = score(model, loader)
        found[split] = after.loss / after.tokens - before.loss / before.tokens
    return found


def _gradient(model: Any, loader: Loader) -> dict[str, Tensor]:
    """That of the mean over items of an item's mean token loss, of every parameter by name."""
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    total = {name: torch.zeros_like(p) for name, p in weights.items()}
    for batch in loader.parts(ROWS):
        losses = token_losses(scored_logits(model, batch), batch.targets)
        loss = item_means(losses, batch.rows, len(batch.input_ids)).sum() / len(loader)
        found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        for name, gradient in zip(weights, found, strict=True):
            if gradient is not None:
                total[name] += gradient
    return total
