"""Membership inference: statistics of items from their token losses, and how well a threshold on one separates.

Free of torch, so that a page can draw the curve from stored values. Every statistic here is larger for items that look
*less* like something that the model was trained on; a member is guessed below the threshold.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

# The least variance of log p: where all probability is on one token nothing can be divided by it.
SMALLEST_VARIANCE = 1e-12


def auc(members: np.ndarray, others: np.ndarray) -> float:
    """The chance that a member's statistic lies below that of another item, ties half: 1 is fully told apart.

    Below 0.5 the members look less like members than what was never seen: as telling as above.
    """
    ranks = rankdata(np.concatenate([members, others]))[len(members) :]
    below = ranks.sum() - len(others) * (len(others) + 1) / 2
    return float(below / (len(members) * len(others)))


def roc(members: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(false, true) positive rates at every threshold from none to all, starting at (0, 0) and ending at (1, 1)."""
    thresholds = np.unique(np.concatenate([members, others]))
    rates = [
        np.searchsorted(np.sort(group), thresholds, side="right") / len(group)
        for group in (others, members)
    ]
    return np.concatenate([[0.0], rates[0]]), np.concatenate([[0.0], rates[1]])


def true_positives_at(members: np.ndarray, others: np.ndarray, rate: float) -> float:
    """The largest true positive rate of a threshold whose false positive rate is at most `rate` (Carlini et al. 2022).

    With fewer than 1 / rate other items that means: without a single false positive.
    """
    false, true = roc(members, others)
    return float(true[false <= rate].max())


def leakage(auc_model: float, auc_oracle: float) -> float:
    """PrivLeak in percent, ((1 − a) − (1 − a₀)) / (1 − a₀) · 100: 0 is the oracle's, −100 nothing unlearned.

    It grows without bound as the oracle's own AUC nears 1; NaN where that is 1.
    """
    room = 1.0 - auc_oracle
    return ((1.0 - auc_model) - room) / room * 100.0 if room > 0 else float("nan")


def similarity(auc_model: float, auc_oracle: float) -> float:
    """sMIA: 1 − |a − a₀| / a₀ within 0 and 1, 1 being the oracle's own (UDS, arXiv 2605.24614); NaN where a₀ is 0."""
    if not auc_oracle:
        return float("nan")
    return float(np.clip(1.0 - abs(auc_model - auc_oracle) / auc_oracle, 0.0, 1.0))


def min_k(token_losses: Sequence[np.ndarray], share: float) -> np.ndarray:
    """−mean log p of the unlikeliest share of every item's tokens, at least one; at share 1 its mean loss."""
    return np.array([_highest(losses, share) for losses in token_losses])


def min_k_plus_plus(
    token_losses: Sequence[np.ndarray],
    means: Sequence[np.ndarray],
    variances: Sequence[np.ndarray],
    share: float,
) -> np.ndarray:
    """The same of −z_t, z_t = (log p_t − μ_t) / σ_t: μ and σ² of log p under p itself over the vocabulary."""
    spread = [np.sqrt(np.maximum(variance, SMALLEST_VARIANCE)) for variance in variances]
    z = [
        (loss + mean) / sigma for loss, mean, sigma in zip(token_losses, means, spread, strict=True)
    ]
    return min_k(z, share)


def _highest(values: np.ndarray, share: float) -> float:
    count = max(1, int(share * len(values) + 1e-9))  # 0.29 · 100 is a hair below 29
    return float(np.sort(values)[-count:].mean())
