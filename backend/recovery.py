"""Recovery: how much of what the base knew an attack brings back, with the oracle as the zero.

Pure numbers. A *capability* is a metric's value, negated where less means more; every one that enters a recovery is
first raised to the floor φ, because a loss worse than the unigram's knows nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

SMALLEST_DENOMINATOR = 0.05  # of what the base knows above the floor


@dataclass(frozen=True)
class Scale:
    """How a metric turns into capability."""

    sign: float  # +1 where more means more capability, −1 for losses
    floor: float  # φ, already as a capability

    @classmethod
    def of(cls, declared: Mapping[str, Any], split: str) -> "Scale":
        """The scale of a metric as the study's document declares it."""
        sign = 1.0 if declared["direction"] == "up" else -1.0
        return cls(sign, sign * float(declared["floors"][split]))

    def capability(self, value: float) -> float:
        """The capability of a value, raised to the floor."""
        return max(self.sign * value, self.floor)


@dataclass(frozen=True)
class Strongest:
    """The attacker's choice up to a step, made on validation and read on the score part."""

    score: float  # the metric's raw value on the score part
    validation: float
    step: int
    cell: int  # the attack run
    upper_bound: (
        float  # the plain maximum over the score part: what no honest attacker could choose
    )


def strongest(curves: pd.DataFrame, scale: Scale, budget: int | None = None) -> Strongest | None:
    """A_m(t): the grid cell and step ≤ budget of the highest validation capability; the earliest one on ties.

    `curves` has the columns run, step, validation, score, runs in the grid's order. None where there is no row.
    """
    rows = curves if budget is None else curves[curves["step"] <= budget]
    rows = rows.dropna(subset=["validation", "score"])
    if rows.empty:
        return None
    best = int(np.argmax(scale.sign * rows["validation"].to_numpy()))
    chosen = rows.iloc[best]
    bound = float((scale.sign * rows["score"]).max() * scale.sign)
    return Strongest(
        float(chosen["score"]), float(chosen["validation"]), int(chosen["step"]),
        int(chosen["run"]), bound,
    )  # fmt: skip


def recovery(model: float, oracle: float, base: float, scale: Scale) -> float:
    """(A_m − A_oracle) / (C_base − A_oracle) of raw metric values, unclipped."""
    zero = scale.capability(oracle)
    return (scale.capability(model) - zero) / (scale.capability(base) - zero)


def undefined_because(
    oracle: float, base: float, scale: Scale, paired_error: float | None
) -> str | None:
    """Why a recovery with this denominator says nothing, or None where it is defined."""
    denominator = scale.capability(base) - scale.capability(oracle)
    known = scale.capability(base) - scale.floor
    if denominator < SMALLEST_DENOMINATOR * known or denominator <= 0:
        return (
            f"n/a: base and oracle differ by {denominator:.3g} after the attack, below"
            f" {SMALLEST_DENOMINATOR:.0%} of what the base knows ({known:.3g})"
        )
    if paired_error is not None and np.isfinite(paired_error) and denominator < 2 * paired_error:
        return (
            f"n/a: base and oracle differ by {denominator:.3g}, below twice the standard error"
            f" over the items ({paired_error:.3g})"
        )
    return None


def utility(model: float, base: float, scale: Scale) -> float | None:
    """(C_model − φ) / (C_base − φ), not clipped; None where the base knows nothing."""
    known = scale.sign * base - scale.floor
    return (scale.sign * model - scale.floor) / known if known > 0 else None


def envelope(curves: pd.DataFrame, scale: Scale) -> pd.DataFrame:
    """A_m(t) at every evaluated step: columns step, score, run."""
    steps: Sequence[int] = sorted(curves["step"].unique())
    found = [(step, strongest(curves, scale, step)) for step in steps]
    rows = [(step, best.score, best.cell) for step, best in found if best is not None]
    return pd.DataFrame(rows, columns=["step", "score", "run"])
