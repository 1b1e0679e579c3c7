"""Membership by loss: what was trained on is better predicted."""

import numpy as np

from backend.examination import Examination, Readings
from backend.membership_readings import membership_readings
from backend.registry import metric


@metric(
    label="membership: loss",
    source="Yeom et al. 2018 (arXiv 1709.01604), LOSS",
    direction="up",
    floor=0.5,
    unit="AUC",
    range=[0.0, 1.0],
    takes="examination",
)
def mia_loss(examined: Examination) -> Readings:
    """AUC of an item's mean loss a token between forget items and those that no model was trained on.

    0.5 cannot tell them; 0 tells them as well as 1, so the distance to the oracle's AUC, the true positives at 1 % and
    0.1 % false ones, and every item's statistic stand beside it. Unseen items may differ from forget items in more than
    having been seen: the oracle shows by how much. A refusal raises all losses alike and hides little.
    """
    return membership_readings(examined, mean_losses)


def mean_losses(examined: Examination, split: str, role: str) -> np.ndarray:
    """Nats a token of every item."""
    scores = examined.scores(split, role)
    return scores.loss / scores.tokens
