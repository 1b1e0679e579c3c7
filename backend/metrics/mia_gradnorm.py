"""Membership by the gradient: what was trained on pulls little at the weights."""

import numpy as np
import torch

from backend.examination import Examination, Readings
from backend.losses import cross_entropy
from backend.membership_readings import membership_readings
from backend.models import scored_logits
from backend.registry import Count, metric
from backend.stage import NotApplicable
from backend.wrapping import Wrapper


@metric(
    label="membership: gradient norm",
    source="Wang et al. 2024 (arXiv 2402.17012), as in OpenUnlearning: the mean over tensors of ‖∇ loss‖₂",
    direction="up",
    floor=0.5,
    unit="AUC",
    range=[0.0, 1.0],
    takes="examination",
)
def mia_gradnorm(examined: Examination, *, items: Count = 128) -> Readings:
    """AUC of the norm of an item's gradient, the mean over weight tensors of their 2-norms; readings as of the loss.

    Every item takes a pass and its gradient, so at most so many of each side are drawn, the same ones for every model
    of a seed; the statistics stand in the order of their items, but leave the others out.
    A refusal, which is to be unlearnt first by every item's gradient, can hide what lies behind it.

    Args:
        items: of each side, at most
    """
    if isinstance(examined.of(), Wrapper):
        raise NotApplicable("a wrapper at inference has no gradient of its own")

    def statistic(examined: Examination, split: str, role: str) -> np.ndarray:
        count = len(examined.examples(split))
        drawn = examined.run.numbers(f"gradient norms {split}").permutation(count)[:items]
        return _norms(examined, split, role, np.sort(drawn))

    return membership_readings(examined, statistic)


def _norms(examined: Examination, split: str, role: str, drawn: np.ndarray) -> np.ndarray:
    model, loader = examined.of(role), examined.loader(split)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    found = []
    for item in drawn:
        batch = loader.batch(slice(int(item), int(item) + 1))
        loss = cross_entropy(scored_logits(model, batch), batch.targets)
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)  # an expert may rest
        norms = [g.norm() if g is not None else loss.new_zeros(()) for g in gradients]
        found.append(torch.stack(norms).double().mean().item())
    return np.array(found)
