"""Comparing training curves, {step: value}: where two runs part, and whether two precisions amount to the same."""

import math
from collections.abc import Mapping, Sequence

from backend.statistics import student_interval


def first_divergence(
    one: Mapping[int, float], other: Mapping[int, float], margin: float
) -> int | None:
    """The first common step at which two curves are further apart than the margin or one is not finite; None without one."""
    for step in sorted(set(one) & set(other)):
        gap = abs(one[step] - other[step])
        if not math.isfinite(gap) or gap > margin:
            return step
    return None


def equivalent(differences: Sequence[float], margin: float) -> tuple[bool, tuple[float, float]]:
    """Whether paired differences are shown to be within ± margin on average, and the interval that shows it.

    Two one-sided t-tests at 5 % (Schuirmann 1987): the 90 % interval of the mean lies inside the margin.
    """
    low, high = student_interval(differences, 0.9)
    return -margin < low and high < margin, (low, high)
