"""Paired tests over matched seeds: is a difference more than chance, and how large is it?"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import special, stats

LEVEL = 0.05
TESTS = {"t": "paired t-test", "wilcoxon": "Wilcoxon signed-rank test, exact"}
Pair = tuple[np.ndarray, np.ndarray]  # the reference's values and the other's, seed by seed
# Two sums of the same numbers in another order differ by this share of the numbers at most.
ROUNDING = 1e-12
ENUMERABLE = 15  # seeds whose 2ⁿ patterns of signs are gone through one by one


def matched(reference: Sequence[float | None], other: Sequence[float | None]) -> Pair:
    """The values of the seeds that both sides have, in the seeds' order."""
    both = [
        (a, b) for a, b in zip(reference, other, strict=True) if a is not None and b is not None
    ]
    one, two = np.array(both, dtype=float).reshape(-1, 2).T
    return one, two


def is_constant(pair: Pair) -> bool:
    """Whether the difference is the same in every seed, rounding apart: then no test has a spread to go by."""
    one, two = pair
    return bool(len(one)) and bool(np.ptp(two - one) <= _rounding(pair))


def is_equal(pair: Pair) -> bool:
    """Whether both sides are the same in every seed, rounding apart."""
    one, two = pair
    return bool(np.abs(two - one).max(initial=0.0) <= _rounding(pair))


def _rounding(pair: Pair) -> float:
    return ROUNDING * float(np.abs(np.array(pair)).max(initial=0.0))


def p_values(pairs: Sequence[Pair], test: str = "t") -> list[float | None]:
    """Two-sided p of every pair, as scipy says; None below two seeds and where the difference is constant."""
    found: list[float | None] = [None] * len(pairs)
    groups: dict[int, list[int]] = {}
    for position, pair in enumerate(pairs):
        if len(pair[0]) > 1 and not is_constant(pair):
            groups.setdefault(len(pair[0]), []).append(position)
    ask = _SCIPY[test]
    for (
        positions
    ) in groups.values():  # one call for all pairs of a length: a call takes a millisecond
        one, two = (np.array([pairs[p][side] for p in positions]) for side in (0, 1))
        for position, p in zip(positions, ask(one, two), strict=True):
            found[position] = float(p)
    return found


def _t(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    return np.asarray(stats.ttest_rel(two, one, axis=1).pvalue)


def _wilcoxon(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Row by row; scipy's exact table holds without ties and zeros only, so there the signs are enumerated."""
    return np.array([_signed_rank(row) for row in two - one])


def _signed_rank(differences: np.ndarray) -> float:
    sizes = np.abs(differences)
    plain = len(np.unique(sizes)) == len(sizes) and sizes.min() > 0
    method: Any = "exact"
    if not plain:
        few = len(sizes) <= ENUMERABLE
        method = stats.PermutationMethod(n_resamples=2**ENUMERABLE) if few else "auto"
    return float(stats.wilcoxon(differences, method=method).pvalue)


_SCIPY: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {"t": _t, "wilcoxon": _wilcoxon}


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p of a family of tests: comparing them with α keeps the chance of any false alarm at α."""
    order = np.argsort(p, kind="stable")
    steps = (len(p) - np.arange(len(p))) * np.asarray(p, dtype=float)[order]
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted.tolist()  # type: ignore[no-any-return]


def hedges_g(pair: Pair) -> float | None:
    """Hedges' g_av: the mean difference in units of the two sides' pooled spread over seeds, corrected for few seeds.

    g_av = J · (mean of other − mean of reference) / √((s₁² + s₂²) / 2), with n − 1 degrees of freedom in
    J = Γ(ν/2) / (√(ν/2) Γ((ν − 1)/2)) (Cumming 2012; Lakens 2013). None below three seeds, where J is 0, and where
    neither side varies.
    """
    one, two = pair
    if len(one) < 3:
        return None
    spread = float(np.sqrt((np.var(one, ddof=1) + np.var(two, ddof=1)) / 2))
    if spread <= _rounding(pair):
        return None
    return small_sample(len(one) - 1) * float(np.mean(two) - np.mean(one)) / spread


def small_sample(degrees: int) -> float:
    """Hedges' exact correction J for that many degrees of freedom."""
    half = degrees / 2
    return float(np.exp(special.gammaln(half) - special.gammaln(half - 0.5)) / np.sqrt(half))


def smallest_p(seeds: int, test: str) -> float:
    """The smallest two-sided p that a test can give with that many matched seeds."""
    return 2.0 ** (1 - seeds) if test == "wilcoxon" else 0.0
