"""Attainment bands: what one seed reaches, what all seeds reach, and what lies between."""

from collections.abc import Mapping, Sequence
from typing import Any

import moocore
import numpy as np
import pandas as pd

from backend.charts.axes import Axis, axis_of
from backend.charts.staircase import groups
from backend.tables import column_of

Ends = tuple[float, float]


def bands(
    rows: Sequence[Mapping[str, Any]],
    x: str,
    y: str,
    across: Ends,
    along: Ends,
    axes: Mapping[str, Axis] | None = None,
) -> pd.DataFrame:
    """The band of every method with several configurations, between what all seeds attain and what one seed attains.

    Columns: family, `x`, low, high, median. A point is attained by a seed where one of the method's configurations is
    at least as good in both objectives (empirical attainment function: Grunert da Fonseca et al. 2001). `across` and
    `along` are the picture's edges. Empty with one seed, or where an objective has no better end.
    """
    columns = ["family", x, "low", "high", "median"]
    empty = pd.DataFrame(columns=columns)
    if not all(axis_of(name, axes).better for name in (x, y)):
        return empty
    pieces = []
    for name, members in groups(rows).items():
        values = _values(members, x, y)
        if values is not None and len(members) > 1 and values.shape[1] > 1:
            piece = _band(values, x, (across, along), _signs(x, y, axes))
            pieces.append(piece.assign(family=name))
    return pd.concat(pieces, ignore_index=True)[columns] if pieces else empty


def _values(rows: Sequence[Mapping[str, Any]], x: str, y: str) -> np.ndarray | None:
    """(configurations, seeds, 2) of those whose every seed is known; None without any."""
    known = []
    for row in rows:
        pair = [_of(row, name) for name in (x, y)]
        if all(values and None not in values for values in pair):
            known.append(np.array(pair, dtype=float).T)
    return np.array(known) if known else None


def _of(row: Mapping[str, Any], name: str) -> list[Any]:
    measured = {**row["metrics"], **row["pair_metrics"]}
    told = row.get(name) or {column_of(one): found for one, found in measured.items()}.get(name)
    return list(told["values"]) if isinstance(told, Mapping) else []


def _signs(x: str, y: str, axes: Mapping[str, Axis] | None) -> np.ndarray:
    return np.array([1.0 if axis_of(name, axes).better == "down" else -1.0 for name in (x, y)])


def _band(values: np.ndarray, x: str, edges: tuple[Ends, Ends], signs: np.ndarray) -> pd.DataFrame:
    seeds = values.shape[1]
    # Smaller is better from here on; moocore takes points of one set only where they follow one another.
    points = (values * signs).transpose(1, 0, 2).reshape(-1, 2)
    sets = np.repeat(np.arange(seeds), len(values))
    reached = moocore.eaf(points, sets=sets)
    worst = [float((np.array(edge) * sign).max()) for edge, sign in zip(edges, signs, strict=True)]
    level = [100 / seeds, 100 * np.ceil(seeds / 2) / seeds, 100.0]
    steps = [reached[np.isclose(reached[:, 2], one), :2] for one in level]
    grid = np.unique(np.concatenate([*(step[:, 0] for step in steps), [worst[0]]]))
    grid = grid[grid <= worst[0]]
    best, middle, all_of_them = (_height(step, grid, worst[1]) for step in steps)
    found = {x: grid * signs[0], "low": all_of_them, "high": best, "median": middle}
    for name in ("low", "high", "median"):
        found[name] = found[name] * signs[1]
    return pd.DataFrame(found).sort_values(x, ignore_index=True)


def _height(steps: np.ndarray, grid: np.ndarray, worst: float) -> np.ndarray:
    """The best second objective that is attained at each place of the grid; the picture's edge where none is."""
    within = steps[None, :, 0] <= grid[:, None]
    return np.where(within, steps[None, :, 1], worst).min(axis=1, initial=worst)
