"""Membership by an item's unlikeliest tokens."""

import numpy as np

from backend.examination import Examination, Readings
from backend.membership import min_k
from backend.membership_readings import membership_readings
from backend.registry import Share, metric


@metric(
    label="membership: Min-K %",
    source="Shi et al. 2023 (arXiv 2310.16789), eq. 1",
    direction="up",
    floor=0.5,
    unit="AUC",
    range=[0.0, 1.0],
    takes="examination",
)
def mia_min_k(examined: Examination, *, share: Share = 0.4) -> Readings:
    """AUC of the mean loss of an item's unlikeliest tokens; readings as of the loss, which it is at a share of 1.

    A refusal raises the loss of all items alike and hides little; a turned output head hides everything.

    Args:
        share: of an item's tokens, rounded down, at least one
    """

    def statistic(examined: Examination, split: str, role: str) -> np.ndarray:
        return min_k(examined.scores(split, role).token_losses, share)

    return membership_readings(examined, statistic)
