"""The frontier: configurations on any two objectives, the third as size, and the staircase of the undominated."""

from collections.abc import Collection, Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from backend.charts.theme import ANCHOR, DIRECTIONS, NAMES, SVG, TITLES, colours, shapes

ANCHORS = ("base", "oracle")


def drawn(frame: pd.DataFrame, x: str, y: str, size: str) -> pd.DataFrame:
    """The rows that have a place in the picture.

    Where attack cells are missing the robust forget quality so far takes its place and `complete` is false (a hollow
    point). The oracle stands at 1 by definition where its band is unknown.
    """
    rows = frame.copy()
    if rows.empty:
        return rows
    so_far = rows["robust_forget_quality"].isna()
    for axis in {x, y, size} & {"robust_forget_quality"}:
        rows.loc[so_far, axis] = rows.loc[so_far, "robust_so_far"]
        oracle = so_far & (rows["method"] == "oracle") & rows["complete"]
        rows.loc[oracle, axis] = 1.0
    rows = rows.dropna(subset=[x, y])
    rows[[x, y]] = rows[[x, y]].astype(float)
    # A missing third objective is shown as the smallest size and said in the tooltip, never as a zero.
    smallest = rows[size].min()
    rows["sized"] = rows[size].astype(float).fillna(0.0 if pd.isna(smallest) else smallest)
    rows["kind"] = np.where(rows["complete"], "complete", "attack cells missing")
    rows["cells"] = rows["cells_done"].astype(str) + " of " + rows["cells_total"].astype(str)
    return rows


def front(frame: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """The undominated configurations in these two objectives alone, by x; anchors and hollow points left out."""
    rows = frame[~frame["method"].isin(ANCHORS) & frame["complete"].astype(bool)]
    rows = rows.dropna(subset=[x, y])
    signs = [1.0 if DIRECTIONS[axis] == "up" else -1.0 for axis in (x, y)]
    points = rows[[x, y]].to_numpy(dtype=float) * signs
    kept = [
        not any((other >= point).all() and (other > point).any() for other in points)
        for point in points
    ]
    return rows[np.array(kept, dtype=bool)].sort_values(x) if len(rows) else rows


def step_of(x: str, y: str) -> Any:
    """Which staircase bounds what the front dominates, drawn from small to large x.

    Where a larger x is better, a point dominates everything to its left at its height: the line keeps the height of the
    next point until it gets there (`step-before`). Where a smaller x is better it is the other way round.
    """
    return "step-before" if DIRECTIONS[x] == "up" else "step-after"


def frontier_chart(
    frame: pd.DataFrame,
    x: str = "utility",
    y: str = "robust_forget_quality",
    size: str = "compute",
    selected: Collection[str] = (),
    theme: str = "light",
) -> Any:
    """The frontier of a frame as `backend.frontier.frame` makes it.

    Clicks arrive as the selection `pick` on the field `configuration`; `selected` configurations are ringed.
    """
    rows = drawn(frame, x, y, size)
    rows["selected"] = rows["configuration"].isin(list(selected)) if len(rows) else []
    points = rows[~rows["method"].isin(ANCHORS)] if len(rows) else rows
    anchors = rows[rows["method"].isin(ANCHORS)] if len(rows) else rows
    axes: dict[str, Any] = {
        "x": alt.X(f"{x}:Q").title(TITLES[x]).scale(zero=False, padding=18),
        "y": alt.Y(f"{y}:Q").title(TITLES[y]).scale(zero=False, padding=18),
    }
    layers: list[Any] = [*_crosses(points, x, y, axes)]
    layers.append(_staircase(front(points, x, y) if len(points) else points, x, y, axes))
    layers += [_anchors(anchors, axes, theme), _labels(front(points, x, y), x, y, theme)]
    layers.append(_rings(rows, axes, theme))
    layers.append(_points(points, axes, size))
    return alt.layer(*layers).properties(height=460, usermeta=SVG)


def _crosses(points: pd.DataFrame, x: str, y: str, axes: Mapping[str, Any]) -> list[Any]:
    """Error crosses: the intervals over seeds where there are any."""
    base = alt.Chart(points).mark_rule(opacity=0.35, strokeWidth=1.2)
    across = base.transform_filter(f"isValid(datum['{x}_low'])").encode(
        y=axes["y"], x=alt.X(f"{x}_low:Q").title(TITLES[x]), x2=f"{x}_high:Q"
    )
    along = base.transform_filter(f"isValid(datum['{y}_low'])").encode(
        x=axes["x"], y=alt.Y(f"{y}_low:Q").title(TITLES[y]), y2=f"{y}_high:Q"
    )
    return [across, along]


def _staircase(rows: pd.DataFrame, x: str, y: str, axes: Mapping[str, Any]) -> Any:
    line = alt.Chart(rows).mark_line(
        interpolate=step_of(x, y), strokeDash=[5, 3], color="#888888", strokeWidth=1.5
    )
    return line.encode(**axes, order=alt.Order(f"{x}:Q"))


def _anchors(rows: pd.DataFrame, axes: Mapping[str, Any], theme: str) -> Any:
    mark = alt.Chart(rows).encode(
        **axes, tooltip=["configuration"], description=alt.Description("configuration:N")
    )
    star = mark.mark_point(shape="cross", size=160, filled=True, color=ANCHOR[theme], angle=45)
    text = mark.mark_text(dy=-14, color=ANCHOR[theme], fontWeight="bold")
    return star + text.encode(text="configuration:N")


def _labels(rows: pd.DataFrame, x: str, y: str, theme: str) -> Any:
    """Names of the undominated points only: more would cover each other."""
    text = alt.Chart(rows).mark_text(
        dy=-13, fontSize=11, color=ANCHOR[theme], align="right", dx=-4, limit=240
    )
    return text.encode(x=f"{x}:Q", y=f"{y}:Q", text="configuration:N")


def _rings(rows: pd.DataFrame, axes: Mapping[str, Any], theme: str) -> Any:
    ring = alt.Chart(rows).transform_filter("datum.selected")
    return ring.mark_point(size=620, strokeWidth=2.5, color=ANCHOR[theme]).encode(**axes)


def _points(rows: pd.DataFrame, axes: Mapping[str, Any], size: str) -> Any:
    pick = alt.selection_point(name="pick", fields=["configuration"], toggle="event.shiftKey")
    methods = sorted(rows["method"].unique()) if len(rows) else []
    return (
        alt.Chart(rows)
        .mark_point(strokeWidth=2)
        .encode(
            **axes,
            color=alt.Color("method:N").scale(colours(methods)).title("Method"),
            shape=alt.Shape("method:N").scale(shapes(methods)).title("Method"),
            fill=alt.condition(
                "datum.complete",
                alt.Color("method:N").scale(colours(methods)),
                alt.value("transparent"),
            ),
            size=alt.Size("sized:Q")
            .scale(range=[70, 420], zero=False)
            .title(NAMES[size].capitalize()),
            description=alt.Description("configuration:N"),
            tooltip=_tooltip(),
        )
        .add_params(pick)
    )


def _tooltip() -> list[alt.Tooltip]:
    numbers = [alt.Tooltip(f"{name}:Q", title=NAMES[name], format=".3f") for name in NAMES]
    return [
        alt.Tooltip("configuration:N"),
        *numbers,
        alt.Tooltip("robust_so_far:Q", title="robust so far", format=".3f"),
        alt.Tooltip("cells:N", title="attack cells"),
        alt.Tooltip("worst_attack:N", title="worst attack"),
        alt.Tooltip("seeds:Q"),
        alt.Tooltip("grid_size:Q", title="attack grid"),
        alt.Tooltip("budget:Q", title="attack steps"),
        alt.Tooltip("weak_evidence:N", title="weak evidence"),
    ]


def caption(frame: pd.DataFrame) -> str:
    """One sentence or two that are true of the frame: who is undominated, who hides, what is missing."""
    rows = frame[~frame["method"].isin(ANCHORS)] if len(frame) else frame
    if rows.empty:
        return "No configuration has a number yet."
    known = rows[rows["on_front"].notna()]
    sentences = []
    if len(known):
        kept = int(known["on_front"].astype(bool).sum())
        verb = "is" if kept == 1 else "are"
        sentences.append(
            f"{kept} of {len(known)} complete configurations {verb} non-dominated in robust forget"
            " quality, utility and compute."
        )
        sentences.append(_hiders(known))
    open_rows = len(rows) - len(known)
    if open_rows:
        sentences.append(f"{open_rows} still lack numbers.")
    return " ".join(sentence for sentence in sentences if sentence)


def _hiders(known: pd.DataFrame) -> str:
    drop = known["claimed_forget_quality"] - known["robust_forget_quality"]
    if not drop.notna().any() or drop.max() < 0.2:
        return ""
    row = known.loc[drop == drop.max()].iloc[0]
    return (
        f"{row['configuration']} claims {row['claimed_forget_quality']:.2f} and keeps"
        f" {row['robust_forget_quality']:.2f} after the attack."
    )
