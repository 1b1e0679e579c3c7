"""Privacy leakage: MUSE's third criterion, membership against the oracle's."""

import numpy as np

from backend.examination import Examination, Readings
from backend.membership import auc, leakage, min_k, similarity
from backend.membership_readings import statistics_of
from backend.registry import Share, metric
from backend.stage import NotApplicable


@metric(
    label="privacy leakage",
    source="Shi et al. 2024, MUSE (arXiv 2407.06460), PrivLeak of Min-K %, in OpenUnlearning's form",
    direction="none",
    floor=None,
    unit="%",
    range=[-100.0, None],
    level="pair",
    takes="examination",
)
def privacy_leakage(examined: Examination, *, share: Share = 0.4) -> Readings:
    """((1 − AUC) − (1 − AUC of the oracle)) / (1 − AUC of the oracle), in percent, of Min-K % on forget and unseen items.

    0 is the oracle's; −100 says that every forget item still looks trained on; above 0 they look less so than to a
    model that never saw them, which gives them away too. It has no upper bound, so both AUCs and sMIA,
    1 − |AUC − AUC of the oracle| / AUC of the oracle, stand beside it. A refusal hides
    as little from it as from Min-K %.

    Args:
        share: of an item's tokens, rounded down, at least one
    """

    def statistic(examined: Examination, split: str, role: str) -> np.ndarray:
        return min_k(examined.scores(split, role).token_losses, share)

    oracle, model = (auc(*statistics_of(examined, statistic, role)) for role in ("oracle", "model"))
    if oracle == 1:
        raise NotApplicable("the oracle's own AUC is 1, which leaves nothing to compare with")
    return {
        "model": leakage(model, oracle),
        ("model", "AUC"): model,
        ("model", "oracle"): oracle,
        ("model", "sMIA"): similarity(model, oracle),
    }
