"""Intervals over seeds and over items."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats


def summary(values: Sequence[float | None]) -> dict[str, Any]:
    """{"mean", "low", "high", "values"}: Student's t interval over seeds at 95 %, unclipped.

    `low` and `high` are None at one seed; `mean` is None as soon as one value is: an unknown is not averaged away.
    """
    known = [float(value) for value in values if value is not None]
    listed = [None if value is None else float(value) for value in values]
    if not known or len(known) < len(listed):
        return {"mean": None, "low": None, "high": None, "values": listed}
    mean = float(np.mean(known))
    if len(known) == 1:
        return {"mean": mean, "low": None, "high": None, "values": listed}
    half = float(stats.t.ppf(0.975, len(known) - 1) * stats.sem(known))
    return {"mean": mean, "low": mean - half, "high": mean + half, "values": listed}


def bootstrap_over_items(
    values: np.ndarray, *, rounds: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """The 95 % percentile interval of a mean over items, resampled with replacement: another interval than that over seeds."""
    drawn = np.random.default_rng(seed).integers(0, len(values), size=(rounds, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def paired_error(one: np.ndarray, other: np.ndarray) -> float:
    """Standard error of the mean difference of the same items."""
    if len(one) != len(other) or len(one) < 2:
        return float("nan")
    return float(np.std(one - other, ddof=1) / np.sqrt(len(one)))
