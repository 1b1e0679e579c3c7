"""Fitting the multi-power law to training curves: a robust search from several fixed starts, always the same."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from backend.loss_law import Course, Curve, Law, losses, smoothed

LEAST = 4  # points that a curve needs to count
ROBUST = 0.01  # relative error from which a point counts linearly, not squared
NOISE = 0.01  # relative error of a block's mean, as typical: what a curve says is weighed against what is typical by it
DROPS = 100  # changes of the rate that are told apart while searching
EVALUATIONS = 100  # of all curves, from one start
SMALLEST = 1e-9  # a prediction below is taken as this: a loss is positive

# Where searches begin: α, B (in ends of the lowest curve), C, β, γ, and the share of that end which never goes. The
# first are near the paper's values in our units; they decide what the curves leave open, within factors of e^SPREAD.
STARTS = (
    (0.5, 0.15, 0.1, 0.5, 0.5, 0.6),
    (0.3, 0.5, 0.5, 0.4, 0.6, 0.4),
    (0.9, 0.2, 0.02, 0.8, 0.6, 0.9),
    (0.2, 1.0, 0.02, 0.5, 0.3, 0.1),
)
SPREAD = np.array([2.0, 2.0, 0.5, 1.0, 1.5, 0.5, 0.5])
EXPONENTS = (2, 5, 6)
STEEPEST, FLATTEST = 5.0, 0.01


def fit(curves: Sequence[Curve], noise: float = NOISE, starts: int = len(STARTS)) -> Law:
    """The law that all curves follow best, by Huber's loss of the logarithms; the best of several fixed starts.

    A curve weighs the same however many points it has. What the curves leave open (everything about falling rates
    where none falls) stays near a typical value. `noise` says how much a curve counts against that; fewer `starts` are
    quicker and may miss the best.

    Raises:
        ValueError: no curve has enough points after its warm-up
    """
    used = [curve for curve in curves if curve.counted.sum() >= LEAST]
    if not used:
        raise ValueError("no curve has enough points after its warm-up")
    unit = max(float(np.max(curve.rates)) for curve in used)
    problem = _Problem(used, unit, noise)
    results = [problem.solved(np.log(start)) for start in problem.starts()[:starts]]
    _, theta = min(results, key=lambda result: result[0])
    floor, scale, alpha, drop, speed, beta, gamma = map(float, np.exp(theta))
    return Law(floor, scale, alpha, drop, speed, beta, gamma, unit)


class _Problem:
    """Residuals of a law on curves, with their derivatives."""

    def __init__(self, curves: Sequence[Curve], unit: float, noise: float):
        self.curves = curves
        self.courses = [Course(curve.rates, curve.warmup, unit, DROPS) for curve in curves]
        self.steps = [curve.steps[curve.counted] for curve in curves]
        self.means = [smoothed(curve.losses[curve.counted]) for curve in curves]
        self.typical = np.log(self.starts()[0])
        self.pull = noise / np.sqrt(sum(len(means) for means in self.means)) / SPREAD

    def starts(self) -> list[list[float]]:
        """The parameters to begin with; the curves' beginnings and ends say how large the first two are."""
        high, low = max(m[0] for m in self.means), min(m[-1] for m in self.means)
        firsts = [c.sums[s[0]] for c, s in zip(self.courses, self.steps, strict=True)]
        return [
            [kept * low, max(high - kept * low, 0.1 * low) * min(firsts) ** alpha,
             alpha, drop * low, speed, beta, gamma]
            for alpha, drop, speed, beta, gamma, kept in STARTS
        ]  # fmt: skip

    def solved(self, start: np.ndarray) -> tuple[float, np.ndarray]:
        """(cost, logarithms of the parameters) of the minimum that is reached from a start."""
        blocks = np.mean([len(means) for means in self.means])
        low, high = start - 12.0, start + 12.0
        low[[*EXPONENTS]], high[[*EXPONENTS]] = np.log(FLATTEST), np.log(STEEPEST)
        last: list[Any] = [None, None]

        def told(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            if last[0] is None or not np.array_equal(last[0], theta):
                last[:] = [theta.copy(), self.residuals(theta)]
            found: tuple[np.ndarray, np.ndarray] = last[1]
            return found

        found = least_squares(
            lambda theta: told(theta)[0],
            start,
            jac=lambda theta: told(theta)[1],
            bounds=(low, high),
            loss="huber",
            f_scale=ROBUST / np.sqrt(blocks * len(self.curves)),
            max_nfev=EVALUATIONS,
        )
        return float(found.cost), found.x

    def residuals(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weighted differences of the logarithms and their derivatives by the parameters'."""
        values, slopes = [self.pull * (theta - self.typical)], [np.diag(self.pull)]
        parts = zip(self.curves, self.courses, self.steps, self.means, strict=True)
        for _, course, steps, means in parts:
            raw, raw_slope = losses(theta, course, steps)
            told = smoothed(raw)
            possible = told > SMALLEST
            weight = 1.0 / np.sqrt(len(means) * len(self.curves))
            values.append(weight * np.log(np.where(possible, told, SMALLEST) / means))
            relative = smoothed(raw_slope) / np.where(possible, told, np.inf)[:, None]
            slopes.append(weight * relative)
        return np.concatenate(values), np.concatenate(slopes)
