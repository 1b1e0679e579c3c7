"""The multi-power law: the course of a training loss under any course of the learning rate.

Luo et al. 2025 (arXiv 2503.12811); the equations were checked against texts of the paper, with t counted from the end
of the warm-up, η₀ the rate there, and S_W the sum of the warm-up's rates:

    L(t)  = L₀ + A · (S₁(t) + S_W)^(−α) − LD(t),                     S₁(t) = Σ_{τ=1..t} η_τ
    LD(t) = B · Σ_{k=1..t} (η_{k−1} − η_k) · G(η_k^(−γ) · S_k(t)),   S_k(t) = Σ_{τ=k..t} η_τ
    G(x)  = 1 − (C·x + 1)^(−β)

Rates are measured in units of the largest one that was fitted, so that A and B are of the loss's own size. The paper
fits losses on validation data; a training loss is that of single batches, so losses and predictions alike are averaged
over blocks of neighbouring points before they are compared: that takes noise out and bends nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

BLOCKS = 20  # neighbouring points are averaged into about so many
SKIPPED = 0.05  # of a curve's steps: the fall from random weights, which no power of the rates' sum describes
PARTS = 10  # in which an error is read: "the end" of a noisy curve is the mean of its last tenth
# Changes of the rate that are told apart; beyond it neighbours are taken together.
MOST_DROPS = 1000
CELLS = 2_000_000  # points × changes that are in memory at a time


@dataclass(frozen=True)
class Curve:
    """A training loss as it was recorded.

    `steps` (n,) are numbers of updates, from 1 on and rising; `losses` (n,); `rates` (updates,) is the learning rate
    of every update, of those still to come too, the first `warmup` of them rising.
    """

    steps: np.ndarray
    losses: np.ndarray
    rates: np.ndarray
    warmup: int = 0

    @cached_property
    def counted(self) -> np.ndarray:
        """Which points the law is about, (n,): positive losses after the warm-up and the first fall."""
        first = self.warmup + SKIPPED * len(self.rates)
        return (self.steps > first) & np.isfinite(self.losses) & (self.losses > 0)

    def half(self) -> "Curve":
        """The first half of the points, as if the training were still on."""
        count = len(self.steps) // 2
        return Curve(self.steps[:count], self.losses[:count], self.rates, self.warmup)


def smoothed(values: np.ndarray, blocks: int = BLOCKS) -> np.ndarray:
    """Means of so many blocks of neighbours, as equal in size as can be, along the first axis."""
    parts = np.array_split(values, min(blocks, len(values)))
    return np.stack([part.mean(axis=0) for part in parts])


@dataclass(frozen=True)
class Law:
    """The law's seven parameters, all above 0, and the rate that is their unit."""

    floor: float  # L₀
    scale: float  # A
    alpha: float
    drop: float  # B
    speed: float  # C
    beta: float
    gamma: float
    unit: float = 1.0

    @property
    def theta(self) -> np.ndarray:
        """Logarithms of the parameters, (7,)."""
        told = (self.floor, self.scale, self.alpha, self.drop, self.speed, self.beta, self.gamma)
        return np.log(told)

    def predict(
        self,
        rates: Sequence[float] | np.ndarray,
        steps: Sequence[int] | np.ndarray | None = None,
        warmup: int = 0,
    ) -> np.ndarray:
        """The losses after `steps` updates (all those after the warm-up where None) at these rates, (n,)."""
        course = Course(np.asarray(rates, dtype=float), warmup, self.unit)
        wanted = np.arange(warmup + 1, len(rates) + 1) if steps is None else np.asarray(steps)
        parts = np.array_split(wanted, 1 + len(wanted) * len(course.drops) // CELLS)
        return np.concatenate([losses(self.theta, course, part)[0] for part in parts])


class Course:
    """A sequence of learning rates as the law sees it: sums after every update, and each change with its place."""

    def __init__(self, rates: np.ndarray, warmup: int, unit: float, most: int = MOST_DROPS):
        told = rates / unit
        self.sums = np.concatenate([[0.0], np.cumsum(told)])  # the warm-up's included
        after = told[warmup:]
        before = np.concatenate([after[:1], after[:-1]])
        changed = np.flatnonzero((before != after) & (after > 0))
        self.drops = (before - after)[changed]
        self.rates = after[changed]
        self.earlier = self.sums[warmup + changed]  # S_k(t) is the sum after t less this
        if len(changed) > most:
            self._thin(most)

    def _thin(self, most: int) -> None:
        """Take neighbouring changes together, at their middle."""
        parts = np.array_split(np.arange(len(self.drops)), most)
        starts = np.array([part[0] for part in parts])
        weights = np.abs(self.drops)
        total = np.add.reduceat(weights, starts)
        self.rates = np.add.reduceat(weights * self.rates, starts) / total
        self.earlier = np.add.reduceat(weights * self.earlier, starts) / total
        self.drops = np.add.reduceat(self.drops, starts)


def losses(theta: np.ndarray, course: Course, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Losses at the steps, (n,), and their derivatives by the logarithm of each parameter, (n, 7)."""
    floor, scale, alpha, drop, speed, beta, gamma = np.exp(theta)
    sums = course.sums[steps]
    power = scale * sums**-alpha
    since = np.maximum(sums[:, None] - course.earlier, 0.0)
    moved = speed * since * course.rates**-gamma  # C·x
    left = (1.0 + moved) ** -beta
    weighted = drop * course.drops
    lost = (weighted * (1.0 - left)).sum(axis=1)
    slope = weighted * beta * left * moved / (1.0 + moved)
    derivatives = [
        np.full(len(steps), floor),
        power,
        -power * alpha * np.log(sums),
        -lost,
        -slope.sum(axis=1),
        -(weighted * left * np.log1p(moved)).sum(axis=1) * beta,
        (slope * np.log(course.rates)).sum(axis=1) * gamma,
    ]
    return floor + power - lost, np.stack(derivatives, axis=1)


@dataclass(frozen=True)
class Error:
    """How far a law is from a curve, as shares of the loss: at the end with its sign, and its mean size over the curve."""

    end: float
    mean: float


def error(law: Law, curve: Curve) -> Error:
    """The law's error on a curve, read in tenths of its points; the end is the last of them.

    Raises:
        ValueError: the curve has no point after its warm-up
    """
    if not curve.counted.any():
        raise ValueError("the curve has no point after its warm-up")
    told = smoothed(curve.losses[curve.counted], PARTS)
    expected = law.predict(curve.rates, curve.steps[curve.counted], curve.warmup)
    relative = smoothed(expected, PARTS) / told - 1.0
    return Error(float(relative[-1]), float(np.abs(relative).mean()))
