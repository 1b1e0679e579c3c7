"""Paired tests over matched seeds are scipy's, Holm's correction is statsmodels', and what cannot be tested is not."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from backend.paired_tests import (
    hedges_g,
    holm,
    is_constant,
    is_equal,
    matched,
    p_values,
    small_sample,
    smallest_p,
)

RANDOM = np.random.default_rng(3)


def pairs(seeds: int, count: int = 20) -> list[tuple[np.ndarray, np.ndarray]]:
    return [
        (RANDOM.normal(0, 1, seeds), RANDOM.normal(0.3 * k / count, 1, seeds)) for k in range(count)
    ]


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_the_paired_t_test_is_scipys(seeds: int) -> None:
    made = pairs(seeds)
    expected = [stats.ttest_rel(other, one).pvalue for one, other in made]
    assert p_values(made, "t") == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seeds", [2, 3, 6, 10])
def test_the_signed_rank_test_is_scipys_exact_one(seeds: int) -> None:
    made = pairs(seeds)
    expected = [stats.wilcoxon(other, one, method="exact").pvalue for one, other in made]
    assert p_values(made, "wilcoxon") == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "differences", [[1, 1, -2, 3, 3], [1, 1, 1, 2, -1, -1], [0, 1, 2, 4], [0, 0, 1, -1, 1, 2]]
)
def test_ties_and_zeros_are_enumerated(differences: list[float]) -> None:
    kept = np.array([d for d in differences if d])
    ranks = stats.rankdata(np.abs(kept))
    sums = [ranks[np.array(signs, bool)].sum() for signs in product((0, 1), repeat=len(kept))]
    seen = ranks[kept > 0].sum()
    least = min(np.mean(np.array(sums) <= seen), np.mean(np.array(sums) >= seen))
    zeros = np.zeros(len(differences))
    found = p_values([(zeros, np.array(differences, float))], "wilcoxon")
    assert found == pytest.approx([min(1.0, 2 * least)])


def test_pairs_of_several_lengths_keep_their_places() -> None:
    made = [*pairs(3, 2), (np.array([1.0]), np.array([2.0])), *pairs(5, 2)]
    found = p_values(made)
    assert found[2] is None
    for position in (0, 1, 3, 4):
        one, other = made[position]
        assert found[position] == pytest.approx(stats.ttest_rel(other, one).pvalue)


def test_only_seeds_that_both_have_are_paired() -> None:
    one, other = matched([0.1, None, 0.3, 0.4], [0.2, 0.3, None, 0.6])
    assert one.tolist() == [0.1, 0.4] and other.tolist() == [0.2, 0.6]
    assert p_values([matched([None, 0.1], [0.2, None])]) == [None]


def test_a_constant_difference_is_no_miracle() -> None:
    shifted = matched([0.1, 0.2, 0.7], [0.1 + 0.1, 0.2 + 0.1, 0.7 + 0.1])
    assert is_constant(shifted) and not is_equal(shifted)
    same = matched([0.1, 0.2, 0.3], [0.1, 0.2, 0.1 + 0.2])
    assert is_constant(same) and is_equal(same)
    assert p_values([shifted, same], "t") == p_values([shifted, same], "wilcoxon") == [None, None]
    assert not is_constant(matched([0.1, 0.2], [0.2, 0.4]))


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_holm_is_statsmodels(count: int) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = RANDOM.uniform(0, 0.2, count).round(2)  # rounded: equal ones among them
    assert holm(p) == pytest.approx(multitest.multipletests(p, method="holm")[1].tolist())


def test_holm_of_nothing_is_nothing() -> None:
    assert holm([]) == []


def test_hedges_correction_is_the_published_one() -> None:
    # Hedges 1981, table of c(m), to three digits.
    published = {2: 0.564, 3: 0.724, 4: 0.798, 9: 0.914, 20: 0.962, 50: 0.985}
    assert {m: round(small_sample(m), 3) for m in published} == published


def test_the_effect_is_in_units_of_the_spread_over_seeds() -> None:
    one, other = np.array([0.0, 1.0, 2.0]), np.array([2.0, 3.0, 4.5])
    spread = np.sqrt((np.var(one, ddof=1) + np.var(other, ddof=1)) / 2)
    expected = small_sample(2) * (other.mean() - one.mean()) / spread
    assert hedges_g((one, other)) == pytest.approx(expected)
    assert hedges_g((other, one)) == pytest.approx(-expected)


def test_an_effect_takes_three_seeds_and_a_spread() -> None:
    assert hedges_g((np.array([1.0, 2.0]), np.array([2.0, 4.0]))) is None
    assert hedges_g((np.ones(4), 2 * np.ones(4))) is None


def test_the_smallest_p_of_the_ranks_is_what_the_test_gives() -> None:
    for seeds in (3, 5, 6):
        clear = (np.zeros(seeds), np.arange(1.0, seeds + 1))
        assert p_values([clear], "wilcoxon") == [smallest_p(seeds, "wilcoxon")]
