"""Which course of the learning rate ends lowest, by a fitted law, at equal steps and peak."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from backend.loss_forecast import rates
from backend.loss_law import Law

SHAPES = ("constant", "linear", "cosine", "wsd", "step")
FINAL_SHARES = (0.01, 0.03, 0.1, 0.3)
PLACES = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0)  # where a free course may bend
LOWEST = 0.003  # share of the peak below which a free course does not go
DIGITS = 4
# Steps in which courses are compared; a longer training is looked at in steps of several.
COARSE = 400


@dataclass(frozen=True)
class Proposal:
    """A course as the parameters that ask for it, and the loss that the law expects at its end."""

    schedule: str
    loss: float
    final_share: float | None = None
    points: list[list[float]] = field(default_factory=list)

    @property
    def parameters(self) -> dict[str, Any]:
        """What to write into a study file."""
        told: dict[str, Any] = {"schedule": self.schedule}
        told |= {} if self.final_share is None else {"final_share": self.final_share}
        return told | ({"points": self.points} if self.points else {})


def proposals(law: Law, steps: int, learning_rate: float, warmup: int = 0) -> list[Proposal]:
    """The named courses, each at its best end, and the best free one that never rises; the lowest first."""
    timed = {"steps": steps, "learning_rate": learning_rate, "warmup": warmup}
    coarse, short = _coarse(law, timed)
    told = [_best_end(coarse, shape, short) for shape in SHAPES]
    told.append(_free(coarse, short))
    exact = [replace(one, loss=_end(law, timed, **one.parameters)) for one in told]
    return sorted(exact, key=lambda proposal: proposal.loss)


def _coarse(law: Law, timed: dict[str, Any]) -> tuple[Law, dict[str, Any]]:
    """A law under which one step stands for several, and the training in such steps: sums of rates stay what they were."""
    several = max(1.0, timed["steps"] / COARSE)
    short = {
        "steps": round(timed["steps"] / several),
        "learning_rate": timed["learning_rate"],
        "warmup": round(timed["warmup"] / several),
    }
    scale, speed = law.scale * several**-law.alpha, law.speed * several
    return replace(law, scale=scale, speed=speed), short


def _end(law: Law, timed: dict[str, Any], **course: Any) -> float:
    told = rates(**timed, **course)
    return float(law.predict(told, np.array([timed["steps"]]), timed["warmup"])[0])


def _best_end(law: Law, shape: str, timed: dict[str, Any]) -> Proposal:
    if shape == "constant":
        return Proposal(shape, _end(law, timed, schedule=shape))
    ends = {share: _end(law, timed, schedule=shape, final_share=share) for share in FINAL_SHARES}
    share = min(ends, key=lambda share: ends[share])
    return Proposal(shape, ends[share], share)


def _free(law: Law, timed: dict[str, Any]) -> Proposal:
    """Factors of the peak at PLACES, each a share of the one before it, by descent from a late linear fall."""
    start = np.array([1.0, 1.0, 1.0, 0.8, 0.6, 0.5, 0.3])

    def points(kept: np.ndarray) -> list[list[float]]:
        factors = np.maximum(np.concatenate([[1.0], np.cumprod(kept)]), LOWEST)
        return [[place, round(float(f), DIGITS)] for place, f in zip(PLACES, factors, strict=True)]

    def cost(kept: np.ndarray) -> float:
        return _end(law, timed, schedule="points", points=points(kept))

    found = minimize(
        cost,
        start,
        method="Powell",
        bounds=[(0.05, 1.0)] * len(start),
        options={"maxfev": 400, "xtol": 1e-3, "ftol": 1e-6},
    )
    return Proposal("points", cost(found.x), points=points(found.x))


def table(found: list[Proposal], actual: float | None = None) -> pd.DataFrame:
    """One row a course: schedule, final share, expected loss, and what it is against `actual`, the run's own course."""
    rows = [
        {"schedule": one.schedule, "final_share": one.final_share, "loss": one.loss,
         "against": None if actual is None else one.loss / actual - 1.0,
         "points": str(one.points) if one.points else None}
        for one in found
    ]  # fmt: skip
    return pd.DataFrame(rows)
