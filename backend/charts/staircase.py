"""Who is undominated in two objectives, and the line that bounds what is dominated."""

from collections.abc import Mapping, Sequence
from typing import Any

import moocore
import numpy as np
import pandas as pd

from backend.anchors import ANCHORS, competing
from backend.charts.axes import Axis, axis_of
from backend.charts.naming import family


def groups(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """A document's rows by their method's readable name, references left out."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["method"] not in ANCHORS:
            found.setdefault(family(row["configuration"]), []).append(row)
    return found


def front(
    frame: pd.DataFrame, x: str, y: str, axes: Mapping[str, Axis] | None = None
) -> pd.DataFrame:
    """The undominated configurations in these two objectives alone, by x; anchors and hollow points left out.

    Nobody where one of the two has no better end.
    """
    rows = frame[competing(frame) & frame["complete"].astype(bool)]
    rows = rows.dropna(subset=[x, y])
    signs = [-1.0 if axis_of(name, axes).better == "down" else 1.0 for name in (x, y)]
    points = rows[[x, y]].to_numpy(dtype=float) * signs
    if not len(rows) or not all(axis_of(name, axes).better for name in (x, y)):
        return rows.iloc[:0]
    kept = moocore.is_nondominated(np.ascontiguousarray(-points), keep_weakly=True)
    return rows[kept].sort_values([x, y])


def step_of(x: str, axes: Mapping[str, Axis] | None = None) -> Any:
    """Which staircase bounds what the front dominates, drawn from small to large x.

    Where a larger x is better, a point dominates everything to its left at its height: the line keeps the height of the
    next point until it gets there (`step-before`). Where a smaller x is better it is the other way round.
    """
    return "step-after" if axis_of(x, axes).better == "down" else "step-before"


def staircase(
    frame: pd.DataFrame,
    x: str,
    y: str,
    across: tuple[float, float],
    along: tuple[float, float],
    axes: Mapping[str, Axis] | None = None,
) -> pd.DataFrame:
    """The line's points, columns x and y, from edge to edge of what is drawn: what lies behind it is dominated."""
    rows = front(frame, x, y, axes)
    if rows.empty:
        return pd.DataFrame({x: [], y: []})
    points = rows[[x, y]].to_numpy(dtype=float).tolist()
    worst = along[1] if axis_of(y, axes).better == "down" else along[0]
    if axis_of(x, axes).better == "down":
        ends = [[points[0][0], worst], [across[1], points[-1][1]]]
    else:
        ends = [[across[0], points[0][1]], [points[-1][0], worst]]
    return pd.DataFrame([ends[0], *points, ends[1]], columns=[x, y])


def domain(rows: pd.DataFrame, name: str) -> tuple[float, float]:
    """What an axis shows: every point with its interval, and a little room."""
    ends = [f"{name}{end}" for end in ("", "_low", "_high") if f"{name}{end}" in rows]
    values = rows[ends].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float).ravel()
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    room = 0.06 * (high - low) or 0.05
    return low - room, high + room
