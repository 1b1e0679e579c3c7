"""Which items one model answers right and the other wrong, and whether that is more than chance."""

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Flips:
    """Items of two models, counted: right in both, only in the first (lost), only in the other (gained), in neither."""

    both: int
    lost: int
    gained: int
    neither: int

    @property
    def p(self) -> float | None:
        """McNemar's exact test: how likely so unequal a split of the flipped items is by chance; None where none flips."""
        flipped = self.lost + self.gained
        return float(stats.binomtest(self.lost, flipped, 0.5).pvalue) if flipped else None

    def __add__(self, other: "Flips") -> "Flips":
        mine = (self.both, self.lost, self.gained, self.neither)
        theirs = (other.both, other.lost, other.gained, other.neither)
        return Flips(*(a + b for a, b in zip(mine, theirs, strict=True)))

    @property
    def items(self) -> int:
        """All items."""
        return self.both + self.lost + self.gained + self.neither


def flips(one: np.ndarray, other: np.ndarray) -> Flips:
    """Count the flips between two arrays of 0 and 1 over the same items."""
    first, second = one > 0.5, other > 0.5
    counts = ((first & second), (first & ~second), (~first & second), (~first & ~second))
    return Flips(*(int(count.sum()) for count in counts))


def is_right_or_wrong(values: np.ndarray) -> bool:
    """Whether every item is 0 or 1: a probability or a loss says of no item whether it is right."""
    return bool(len(values)) and bool(np.isin(values, (0.0, 1.0)).all())
