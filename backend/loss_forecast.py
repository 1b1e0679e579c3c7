"""Where a training loss will end: a law fitted to finished runs of the same kind, or to the run's own course so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from backend.loss_fitting import LEAST, fit
from backend.loss_law import PARTS, Curve, Law, smoothed
from backend.schedules import factor

# How long and how fast a run trains; runs that differ in nothing else follow one law.
TIMING = ("steps", "learning_rate", "schedule", "warmup", "final_share", "points")
BASE_TIMING = ("base_steps", "learning_rate", "warmup", "final_share")
TRAINS_LIKE_THE_BASE = ("base", "oracle", "pretrain")
MOST = 4  # finished runs that a law is fitted to
SAME = 0.05  # of the peak: courses that differ by less everywhere count as one
RECENT = 0.25  # of the points so far, the last: they say how far the run is above or below the law
TOLERATED = 0.1  # of the fall: how far off half of the finished runs' ends may be for a forecast
OWN = 12  # points after the warm-up that a run needs to be forecast from itself alone

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Check:
    """A finished run's end as it was forecast from its first half by the others, and as it came."""

    run: int
    expected: float
    came: float
    fall: float  # of the loss, from where the law begins to the end

    @property
    def relative(self) -> float:
        """The error as a share of the loss."""
        return self.expected / self.came - 1.0

    @property
    def of_fall(self) -> float:
        """The error's size as a share of the whole fall: what counts where a loss ends near 0."""
        return abs(self.expected - self.came) / max(self.fall, 1e-12)


@dataclass(frozen=True)
class Basis:
    """A law, the runs that it was fitted to, and how it does for each of them when that one is left out."""

    law: Law
    runs: tuple[int, ...]
    checks: tuple[Check, ...]
    shapes: int  # how many different courses of the rate are among them

    @property
    def holds(self) -> bool:
        """Whether the law is about runs of this kind at all; so too where it could not be checked."""
        missed = [check.of_fall for check in self.checks]
        return not missed or float(np.median(missed)) <= TOLERATED


@dataclass(frozen=True)
class Outlook:
    """A forecast as it is drawn: `steps` and `losses` (n,); the last is the end's."""

    steps: np.ndarray
    losses: np.ndarray
    law: Law
    own: bool  # fitted to the run's own course

    @property
    def end(self) -> float:
        """The loss at the end."""
        return float(self.losses[-1])


def timing(
    stage: str, parameters: Mapping[str, Any], base_training: Mapping[str, Any]
) -> dict[str, Any]:
    """Steps, rate and course of a run's training: its own, or the base's where it trains like that; {} if it has none."""
    given = base_training if stage in TRAINS_LIKE_THE_BASE else parameters
    if not given.get("steps") or not given.get("learning_rate"):
        return {}
    return {name: given[name] for name in TIMING if name in given}


def rates(steps: int, learning_rate: float, **course: Any) -> np.ndarray:
    """The learning rate of every update, (steps,)."""
    return np.array([learning_rate * factor(step, steps, **course) for step in range(steps)])


def curve(measured: pd.DataFrame, timed: Mapping[str, Any]) -> Curve | None:
    """A run's training loss (columns step, value) as a curve; None where the law cannot be about it.

    The law is about losses that are positive and fall, and about one training with the steps that the run names.
    """
    points = measured.dropna(subset=["value"]).sort_values("step")
    if not timed or points.empty or points["step"].max() > timed["steps"]:
        return None
    points = points[points["step"] > 0]
    steps, losses = points["step"].to_numpy(dtype=int), points["value"].to_numpy(dtype=float)
    found = Curve(steps, losses, rates(**timed), int(timed.get("warmup", 0)))
    told = losses[found.counted]
    if len(told) < LEAST or (losses <= 0).any():
        return None
    first, *_, last = smoothed(told)
    return found if last < first else None


def kind(run: Mapping[str, Any]) -> str:
    """What a run trains, apart from how long and how fast: equal texts may share a law."""
    parameters = {k: v for k, v in run["parameters"].items() if k not in TIMING}
    setting = dict(run["setting"].get("parameters", {}))
    if run["stage"] in TRAINS_LIKE_THE_BASE:
        setting = {k: v for k, v in setting.items() if k not in BASE_TIMING}
    told = (run["stage"], run["name"], run["setting"].get("name"))
    return repr((*told, sorted(parameters.items()), sorted(setting.items())))


def alike(run: Mapping[str, Any], finished: pd.DataFrame) -> list[int]:
    """Finished runs of the run's kind, newest first; those made from the same sort of model, where one is made from any.

    `finished` has id, stage, name, parameters, setting and parent.
    """
    same = finished[(finished["stage"] == run["stage"]) & (finished["name"] == run["name"])]
    known: dict[int, Row] = {row["id"]: row for row in _rows(finished)}
    wanted = _lineage(run, known)
    return [
        int(row["id"])
        for row in _rows(same)
        if row["id"] != run["id"] and _lineage(row, known) == wanted
    ]


def _rows(frame: pd.DataFrame) -> list[Row]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _lineage(run: Row, known: Mapping[int, Row]) -> list[str]:
    """The kinds of a run and of its parents, up to what starts from nothing."""
    told, row = [kind(run)], run
    while (parent := row.get("parent")) is not None and not pd.isna(parent):
        if int(parent) not in known:
            return [*told, f"run {int(parent)}"]
        row = known[int(parent)]
        told.append(kind(row) + repr(sorted(row["parameters"].items())))
    return told


def basis(curves: Mapping[int, Curve]) -> Basis | None:
    """The law of finished runs, of several courses if there are, with its checks; None where there is no curve."""
    chosen = _varied(curves)
    if not chosen:
        return None
    checks = []
    for run in chosen:
        others = [curves[other] for other in chosen if other != run]
        told = _check(run, curves[run], others)
        checks += [] if told is None else [told]
    used = {run: curves[run] for run in chosen}
    return Basis(fit(list(used.values())), tuple(chosen), tuple(checks), len(_firsts(used)))


def _varied(curves: Mapping[int, Curve]) -> list[int]:
    """At most MOST runs: first one of every course, then the others, in the order given."""
    firsts = _firsts(curves)
    return [*firsts, *(run for run in curves if run not in firsts)][:MOST]


def _firsts(curves: Mapping[int, Curve]) -> list[int]:
    """The first run of every course of the rate, whatever its length and its peak."""
    found: dict[int, np.ndarray] = {}
    for run, one in curves.items():
        course = one.rates[one.warmup :] / one.rates.max()
        told = course[np.linspace(0, len(course) - 1, 21).round().astype(int)]
        if all(np.abs(told - known).max() > SAME for known in found.values()):
            found[run] = told
    return list(found)


def _check(run: int, one: Curve, others: Sequence[Curve]) -> Check | None:
    """How the end comes out when it is forecast from the first half; None if that is too short."""
    told = outlook(one.half(), fit(others, starts=1) if others else None, one.steps)
    if told is None:
        return None
    count = max(1, round(len(one.steps) / PARTS))
    came = float(one.losses[-count:].mean())
    begun = float(smoothed(one.losses[one.counted])[0])
    return Check(run, float(told.losses[-count:].mean()), came, begun - came)


def outlook(seen: Curve, law: Law | None = None, steps: np.ndarray | None = None) -> Outlook | None:
    """The rest of a run's course, from the law of others shifted to where the run is, else from a law of its own.

    None where it has too few points yet for a law of its own. `steps` says where, from the last seen on; about a
    hundred steps to the end if None.
    """
    own = law is None
    if law is None:
        if seen.counted.sum() < OWN:
            return None
        law = fit([seen])
    last, end = int(seen.steps[-1]) if len(seen.steps) else seen.warmup + 1, len(seen.rates)
    if steps is None:
        steps = np.unique(np.linspace(min(last, end - 1), end, 101).round().astype(int))
    ahead = steps[(steps >= max(last, seen.warmup + 1)) & (steps > 0)]
    if not len(ahead):
        return None
    return Outlook(ahead, level(seen, law) * law.predict(seen.rates, ahead, seen.warmup), law, own)


def level(seen: Curve, law: Law) -> float:
    """How far the latest points are above the law, as a factor; 1 before there are any."""
    steps, losses = seen.steps[seen.counted], seen.losses[seen.counted]
    count = int(len(steps) * RECENT)
    if count < LEAST:
        return 1.0
    expected = law.predict(seen.rates, steps[-count:], seen.warmup)
    return float(losses[-count:].mean() / expected.mean())
