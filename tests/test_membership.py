"""Membership inference: curves equal scikit-learn's, statistics equal those worked by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve

from backend import membership

SEEDS = range(4)


def two_sides(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Statistics with ties: members lie lower."""
    numbers = np.random.default_rng(seed)
    return numbers.normal(0, 1, 90).round(1), numbers.normal(0.5 * seed, 1, 70).round(1)


def labelled(members: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's form: a larger score speaks for the class 1, here membership."""
    classes = np.concatenate([np.ones(len(members)), np.zeros(len(others))])
    return classes, -np.concatenate([members, others])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_auc_is_scikit_learns(seed: int) -> None:
    sides = two_sides(seed)
    assert membership.auc(*sides) == pytest.approx(roc_auc_score(*labelled(*sides)))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("rate", [0.001, 0.01, 0.1, 0.5])
def test_true_positives_are_scikit_learns(seed: int, rate: float) -> None:
    sides = two_sides(seed)
    false, true, _ = roc_curve(*labelled(*sides), drop_intermediate=False)
    assert membership.true_positives_at(*sides, rate) == pytest.approx(true[false <= rate].max())


@pytest.mark.parametrize("seed", SEEDS)
def test_the_curve_is_scikit_learns(seed: int) -> None:
    sides = two_sides(seed)
    false, true, _ = roc_curve(*labelled(*sides), drop_intermediate=False)
    found = membership.roc(*sides)
    np.testing.assert_allclose(found[0], false)
    np.testing.assert_allclose(found[1], true)


def test_a_curve_goes_from_nothing_to_all_and_its_area_is_the_auc() -> None:
    sides = two_sides(2)
    false, true = membership.roc(*sides)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert (np.diff(false) >= 0).all() and (np.diff(true) >= 0).all()
    assert np.trapezoid(true, false) == pytest.approx(membership.auc(*sides))


def test_told_apart_told_apart_the_other_way_and_not_at_all() -> None:
    low, high = np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0])
    assert (membership.auc(low, high), membership.auc(high, low)) == (1.0, 0.0)
    assert membership.auc(low, low) == membership.auc(np.zeros(4), np.zeros(9)) == 0.5
    assert membership.true_positives_at(low, high, 0.001) == 1.0
    assert membership.true_positives_at(high, low, 0.001) == 0.0
    assert membership.true_positives_at(np.zeros(4), np.zeros(9), 0.01) == 0.0


def test_without_a_hundred_other_items_one_per_cent_means_none() -> None:
    members, others = np.arange(10.0), np.array([4.5, *range(20, 49)])
    assert membership.true_positives_at(members, others, 0.01) == 0.5
    assert membership.true_positives_at(members, others, 0.04) == 1.0


@pytest.mark.parametrize(
    ("model", "oracle", "percent"),
    [(0.5, 0.5, 0.0), (1.0, 0.5, -100.0), (0.0, 0.5, 100.0), (0.0, 0.98, 4900.0), (1.0, 0.3, -100)],
)
def test_privacy_leakage_by_hand(model: float, oracle: float, percent: float) -> None:
    assert membership.leakage(model, oracle) == pytest.approx(percent)


def test_leakage_and_similarity_where_there_is_nothing_to_divide_by() -> None:
    assert np.isnan(membership.leakage(0.5, 1.0)) and np.isnan(membership.similarity(0.5, 0.0))
    assert membership.similarity(0.4, 0.5) == pytest.approx(0.8)
    assert membership.similarity(1.0, 0.4) == 0.0 and membership.similarity(0.5, 0.5) == 1.0


ROWS = [np.array([4.0, 1.0, 3.0, 2.0, 0.5]), np.array([2.0]), np.array([1.0, 1.0])]


def test_min_k_of_all_tokens_is_the_loss() -> None:
    assert membership.min_k(ROWS, 1.0) == pytest.approx([row.mean() for row in ROWS])


def test_min_k_takes_the_unlikeliest_tokens_at_least_one() -> None:
    assert membership.min_k(ROWS, 0.4) == pytest.approx([3.5, 2.0, 1.0])
    assert membership.min_k(ROWS, 0.0) == pytest.approx([4.0, 2.0, 1.0])
    hundred = [np.arange(100.0)]
    assert membership.min_k(hundred, 0.29) == pytest.approx(np.arange(71, 100).mean())


def test_min_k_plus_plus_by_brute_force() -> None:
    logits = torch.randn(4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    log_p, targets = logits.log_softmax(-1), torch.tensor([1, 5, 0, 8])
    p = log_p.exp()
    mean = (p * log_p).sum(-1)
    variance = (p * log_p**2).sum(-1) - mean**2
    taken = log_p[torch.arange(4), targets]
    z = ((taken - mean) / variance.sqrt()).numpy()
    losses, means, variances = ([part.numpy()] for part in (-taken, mean, variance))
    whole = membership.min_k_plus_plus(losses, means, variances, 1.0)
    half = membership.min_k_plus_plus(losses, means, variances, 0.5)
    assert (whole[0], half[0]) == pytest.approx((-z.mean(), -np.sort(z)[:2].mean()))


def test_min_k_plus_plus_of_a_certain_model_is_finite() -> None:
    losses, means, variances = [np.array([0.0, 50.0])], [np.zeros(2)], [np.zeros(2)]
    assert np.isfinite(membership.min_k_plus_plus(losses, means, variances, 0.4)).all()
