"""How often the intervals hold the truth, by simulation: over seeds as promised, over items as stated here."""

from typing import Any

import numpy as np
import pytest

from backend.comparison import Measure, compare
from backend.statistics import bootstrap_over_items, student_interval


def student_coverage(drawn: np.ndarray, truth: float) -> float:
    """The share of rows whose interval holds the truth."""
    ends = np.array([student_interval(row) for row in drawn.tolist()])
    return float(np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])))


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_students_interval_over_seeds_holds_the_truth(seeds: int) -> None:
    drawn = np.random.default_rng(seeds).normal(0.7, 0.1, size=(8000, seeds))
    assert 0.93 < student_coverage(drawn, 0.7) < 0.97


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_interval_of_a_paired_difference_holds_the_truth(seeds: int) -> None:
    # Seeds that shift both sides alike: pairing takes that out.
    generator = np.random.default_rng(10 + seeds)
    shared = generator.normal(0, 0.3, size=(2000, seeds))
    one, other = (shared + generator.normal(m, 0.1, shared.shape) for m in (0.2, 0.5))
    rows = [row_of("reference", one), row_of("other", other)]
    measures = [Measure(name, name) for name in rows[0]["metrics"]]
    found = compare(rows, measures, "reference")  # one simulated study a measure
    assert 0.93 < np.mean((found["low"] <= 0.3) & (found["high"] >= 0.3)) < 0.97


def row_of(name: str, drawn: np.ndarray) -> dict[str, Any]:
    """As much of a frontier's row as a comparison reads: one metric for each drawn study."""
    metrics = {f"metric {k}": {"values": values} for k, values in enumerate(drawn.tolist())}
    about = {"configuration": name, "seeds": drawn.shape[1], "raw": [], "worst_attack": None}
    return {**about, "metrics": metrics, "pair_metrics": {}}


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_shares_near_an_end_are_covered_less(seeds: int) -> None:
    """A share near 1 is skewed over seeds: the interval then holds less than it promises, and not hopelessly so."""
    drawn = np.random.default_rng(20 + seeds).beta(18, 2, size=(8000, seeds))
    assert 0.90 < student_coverage(drawn, 0.9) < 0.96


@pytest.mark.parametrize(
    ("items", "share", "least", "most"),
    [(326, 0.3, 0.93, 0.97), (326, 0.02, 0.90, 0.97), (40, 0.3, 0.92, 0.98), (40, 0.02, 0.50, 0.62)],
)  # fmt: skip
def test_the_bootstrap_over_items_covers_what_is_stated(
    items: int, share: float, least: float, most: float
) -> None:
    """Percentiles of resamples: as promised with hundreds of items, far too rarely with few of a rare kind.

    Of 40 items at a share of 0.02 nearly half hold no such item at all, and their interval is the point 0.
    """
    generator = np.random.default_rng(items)
    drawn = (generator.random((800, items)) < share).astype(float)
    ends = np.array([bootstrap_over_items(row, rounds=200, seed=k) for k, row in enumerate(drawn)])
    held = np.mean((ends[:, 0] <= share) & (share <= ends[:, 1]))
    assert least < held < most
