"""The front of a study: who is dominated, how sure that is over seeds, and what each configuration adds to the volume."""

from collections.abc import Mapping, Sequence
from typing import Any

import moocore
import numpy as np

from backend.anchors import ANCHORS
from backend.statistics import summary

OBJECTIVES = {"robust_forget_quality": "up", "utility": "up", "compute": "down"}
REFERENCE_POINT = {"robust_forget_quality": 0.0, "utility": 0.0, "compute": 1.0}
RESAMPLES = 1000
SIGNS = np.array([-1.0 if way == "up" else 1.0 for way in OBJECTIVES.values()])


def mark_front(rows: list[dict[str, Any]]) -> None:
    """Give every complete competitor its place: `on_front`, `front_probability`, `hypervolume_contribution`.

    The probability is the share of resamples of the seeds, drawn with replacement and the same for all rows, in whose means
    nobody dominates it; None at one seed. It is that of the mean's order, not of a single run's. The contribution is the
    volume that the front loses without the row; 0 for dominated ones and for twins.
    """
    chosen, points = _points(rows)
    if not chosen:
        return
    kept = moocore.is_nondominated(points, keep_weakly=True)
    # What a row hides counts as there once the row is away, so that its contribution is what the volume really loses.
    volumes = moocore.hv_contributions(points, ref=_reference(), ignore_dominated=False)
    shares = _probabilities([rows[position] for position in chosen])
    for position, on_front, volume, share in zip(chosen, kept, volumes, shares, strict=True):
        rows[position] |= {
            "on_front": bool(on_front),
            "hypervolume_contribution": float(volume),
            "front_probability": share,
        }


def hypervolume(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """The volume between the front and the fixed reference point; None without any complete row."""
    chosen, points = _points(rows)
    return float(moocore.hypervolume(points, ref=_reference())) if chosen else None


def _reference() -> list[float]:
    return (SIGNS * list(REFERENCE_POINT.values())).tolist()  # type: ignore[no-any-return]


def _points(rows: Sequence[Mapping[str, Any]]) -> tuple[list[int], np.ndarray]:
    """Positions and objectives (all to be minimised) of the rows that have all three and are no anchors."""
    chosen, points = [], []
    for position, row in enumerate(rows):
        means = [row[name]["mean"] for name in OBJECTIVES]
        if row["method"] not in ANCHORS and all(mean is not None for mean in means):
            chosen.append(position)
            points.append(SIGNS * means)
    return chosen, np.array(points, dtype=float).reshape(-1, len(OBJECTIVES))


def _probabilities(rows: Sequence[Mapping[str, Any]]) -> list[float | None]:
    """How often each row is undominated among resampled seeds."""
    listed = [[row[name]["values"] for name in OBJECTIVES] for row in rows]
    seeds = len(listed[0][0])
    whole = all(len(v) == seeds and None not in v for values in listed for v in values)
    if seeds < 2 or not whole:
        return [None] * len(rows)
    values = SIGNS[:, None] * np.array(listed, dtype=float)  # (rows, objectives, seeds)
    drawn = np.random.default_rng(0).integers(seeds, size=(RESAMPLES, seeds))
    kept = np.zeros(len(rows))
    for seeds_drawn in drawn:
        means = values[:, :, seeds_drawn].mean(axis=2)
        kept += moocore.is_nondominated(np.ascontiguousarray(means), keep_weakly=True)
    return (kept / RESAMPLES).tolist()  # type: ignore[no-any-return]


def method_volumes(groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The hypervolume of each method's configurations: {"method", "configurations", "left_out", mean, low, high, values}.

    It is taken seed by seed, from the fixed reference point; the interval is Student's over seeds. `left_out` counts the
    configurations that lack a number in some seed. Largest volume first; methods without any are not listed.
    """
    found = []
    for name, rows in groups.items():
        values = [[row[objective]["values"] for objective in OBJECTIVES] for row in rows]
        known = [one for one in values if all(seeds and None not in seeds for seeds in one)]
        if not known:
            continue
        points = SIGNS[:, None] * np.array(
            known, dtype=float
        )  # (configurations, objectives, seeds)
        volumes = [
            float(moocore.hypervolume(np.ascontiguousarray(points[:, :, seed]), ref=_reference()))
            for seed in range(points.shape[2])
        ]
        counted = {"configurations": len(known), "left_out": len(rows) - len(known)}
        found.append({"method": name, **counted, **summary(volumes)})
    return sorted(found, key=lambda one: -one["mean"])
