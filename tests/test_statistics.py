"""Intervals cover what they promise."""

import numpy as np
import pytest
from scipy import stats

from backend.statistics import (
    bootstrap_over_items,
    paired_error,
    spearman,
    student_interval,
    summary,
)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_interval_over_seeds_covers_the_truth_in_95_of_100_studies(seeds: int) -> None:
    drawn = np.random.default_rng(seeds).normal(0.4, 0.2, size=(6000, seeds))
    ends = np.array([student_interval(list(row)) for row in drawn])
    covered = np.mean((ends[:, 0] <= 0.4) & (ends[:, 1] >= 0.4))
    assert 0.93 < covered < 0.97


def test_the_interval_is_scipys() -> None:
    values = [0.1, 0.4, 0.35, 0.8]
    expected = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert student_interval(values) == pytest.approx(expected)


def test_one_seed_has_a_mean_and_no_interval() -> None:
    assert summary([0.5]) == {"mean": 0.5, "low": None, "high": None, "values": [0.5]}


def test_an_unknown_value_is_not_averaged_away() -> None:
    expected = {"mean": None, "low": None, "high": None, "values": [0.5, None]}
    assert summary([0.5, None]) == summary([0.5, float("nan")]) == expected


def test_the_bootstrap_over_items_is_about_the_normal_interval_of_a_large_sample() -> None:
    items = (np.random.default_rng(0).random(400) < 0.3).astype(float)
    low, high = bootstrap_over_items(items)
    half = 1.96 * items.std(ddof=1) / np.sqrt(400)
    assert (low, high) == pytest.approx((items.mean() - half, items.mean() + half), abs=0.006)


def test_the_paired_error_knows_that_items_go_together() -> None:
    one = np.array([1.0, 0.0, 1.0, 0.0])
    assert paired_error(one, one) == 0
    assert paired_error(one, 1 - one) == pytest.approx(2 / np.sqrt(3) / 2)
    assert paired_error(one, one[:3]) is None


def test_rank_correlation_follows_the_order_only() -> None:
    assert spearman([1, 2, 3, 4], [1, 8, 27, 64]) == pytest.approx(1)
    assert spearman([1, 2, 3], [5, 5, 5]) is None
    assert spearman([1, 2], [3, 4]) is None
