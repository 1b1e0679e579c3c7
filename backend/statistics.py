"""Intervals over seeds and over items, and rank correlation."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import stats


def student_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """(low, high) of Student's t interval of a mean over seeds, unclipped; it takes two values."""
    assert len(values) > 1, f"an interval over seeds takes two seeds, not {len(values)}"
    # Plain Python: a study asks thousands of times for a handful of values.
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    half = _quantile(len(values) - 1, level) * math.sqrt(variance / len(values))
    return mean - half, mean + half


def student_factor(seeds: np.ndarray, level: float = 0.95) -> np.ndarray:
    """Half of Student's interval in standard deviations over seeds, for each number of seeds; NaN below two."""
    factors = [
        _quantile(n - 1, level) / math.sqrt(n) if n > 1 else math.nan for n in seeds.tolist()
    ]
    return np.array(factors, dtype=float)


@lru_cache(maxsize=256)
def _quantile(degrees: int, level: float) -> float:
    return float(stats.t.ppf(0.5 + level / 2, degrees))


def summary(values: Sequence[float | None]) -> dict[str, Any]:
    """{"mean", "low", "high", "values"}: Student's t interval over seeds at 95 %, unclipped.

    `low` and `high` are None at one seed; `mean` is None as soon as one value is: an unknown is not averaged away.
    """
    listed = [None if value is None or value != value else float(value) for value in values]
    known = [value for value in listed if value is not None]
    found: dict[str, Any] = {"mean": None, "low": None, "high": None, "values": listed}
    if not known or len(known) < len(listed):
        return found
    found["mean"] = math.fsum(known) / len(known)
    if len(known) > 1:
        found["low"], found["high"] = student_interval(known)
    return found


def whole_mean(values: Sequence[float | None]) -> float | None:
    """The mean where every value is known, else None: a mean over some would flatter whom the others speak against."""
    mean = summary(values)["mean"]
    return None if mean is None else float(mean)


def bootstrap_over_items(
    values: np.ndarray, *, rounds: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """(low, high) of a mean over items, percentiles of resamples: another interval than that over seeds.

    Simulated, it holds the truth in 94 of 100 cases with 326 items at a share of 0.3, in 93 at a share of 0.02, and in 55
    with 40 items at 0.02: few items of a rare kind often hold none of it.
    """
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, len(values), size=(rounds, len(values)))
    means = np.asarray(values)[drawn].mean(axis=1)
    low, high = np.quantile(means, (0.5 - level / 2, 0.5 + level / 2))
    return float(low), float(high)


def paired_error(one: np.ndarray, other: np.ndarray) -> float | None:
    """Standard error of the mean difference of the same items; None where they cannot be paired."""
    if len(one) != len(other) or len(one) < 2:
        return None
    difference = np.asarray(one, dtype=float) - np.asarray(other, dtype=float)
    return float(np.std(difference, ddof=1) / np.sqrt(len(difference)))


def spearman(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's rank correlation; None below three pairs or where one side does not vary."""
    if len(one) < 3 or len(set(one)) < 2 or len(set(other)) < 2:
        return None
    return float(stats.spearmanr(one, other).statistic)
