"""Membership by an item's unlikeliest tokens, each measured against what else could stand there."""

import numpy as np

from backend.examination import Examination, Readings
from backend.membership import min_k_plus_plus
from backend.membership_readings import membership_readings
from backend.registry import Share, metric


@metric(
    label="membership: Min-K %++",
    source="Zhang et al. 2024 (arXiv 2404.02936), eq. 3",
    direction="up",
    floor=0.5,
    unit="AUC",
    range=[0.0, 1.0],
    takes="examination",
)
def mia_min_k_plus_plus(examined: Examination, *, share: Share = 0.4) -> Readings:
    """AUC of −z over an item's unlikeliest tokens, z the log-probability in units of its spread over the vocabulary.

    Readings as of the loss. Where a model puts all probability on one token, the variance of log p is taken as 1e-12.
    A refusal that takes nearly all probability leaves z little to say: it makes every item's variance small.

    Args:
        share: of an item's tokens, rounded down, at least one
    """

    def statistic(examined: Examination, split: str, role: str) -> np.ndarray:
        scores = examined.scores(split, role, True)
        assert scores.means is not None and scores.variances is not None
        return min_k_plus_plus(scores.token_losses, scores.means, scores.variances, share)

    return membership_readings(examined, statistic)
