"""Three objectives, two at a time, side by side: a drag in one panel marks the same configurations in the others."""

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import Any

import altair as alt
import pandas as pd

from backend.anchors import competing
from backend.charts.axes import Axis, axis_of
from backend.charts.families import Families, families
from backend.charts.frontier import drawn
from backend.charts.layers import layered, panelled
from backend.charts.staircase import domain, front, staircase, step_of
from backend.charts.theme import ANCHOR, ANCHOR_SHAPES, SVG, axis

SIDE = 185  # pixels of a panel: three fit beside each other on a laptop


def panels_chart(
    frame: pd.DataFrame,
    names: Sequence[str],
    selected: Collection[str] = (),
    theme: str = "light",
    axes: Mapping[str, Axis] | None = None,
    methods: Families | None = None,
) -> Any:
    """A panel for each pair of three objectives; `selected` configurations are ringed, a drag dims what lies outside.

    `methods` are those that are told apart, as `coloured` finds them.
    """
    rows = drawn(frame, names[0], names[1], names[2]).dropna(subset=[*names])
    rows["selected"] = rows["configuration"].isin(list(selected))
    methods = methods or coloured(frame, names, selected, axes)
    rows["family"] = methods.shown(rows["family"])
    rows = rows.iloc[(rows["family"] != methods.others).argsort(kind="stable")]  # grey lies below
    brush = alt.selection_interval(name="box", encodings=["x", "y"], resolve="global")
    columns = ["configuration", "method", "family", "selected", *names]
    pairs = list(combinations(names, 2))
    panels = [_panel(rows[columns], pair, methods, brush, theme, axes) for pair in pairs]
    # Written by hand: adding one selection to layered panels names views that are not there.
    select = alt.IntervalSelectionConfig(type="interval", encodings=["x", "y"], resolve="global")
    views = [panel.layer[-1].name for panel in panels]
    box = alt.TopLevelSelectionParameter(name="box", select=select, views=views)
    return panelled(*panels, params=[box], spacing=20, usermeta=SVG)


def coloured(
    frame: pd.DataFrame,
    names: Sequence[str],
    selected: Collection[str] = (),
    axes: Mapping[str, Axis] | None = None,
    order: Sequence[str] = (),
) -> Families:
    """Which methods the panels tell apart: of many those that are chosen, or undominated in a panel or in all."""
    rows = drawn(frame, names[0], names[1], names[2]).dropna(subset=[*names])
    others = rows[competing(rows)]
    kept = [front(rows, *pair, axes)["configuration"] for pair in combinations(names, 2)]
    undominated = [name for panel in kept for name in panel]
    return families(frame, others["configuration"], selected, undominated, order)


def _view(pair: Sequence[str]) -> str:
    return " by ".join(pair)


def _panel(
    rows: pd.DataFrame,
    pair: tuple[str, str],
    methods: Families,
    brush: Any,
    theme: str,
    axes: Mapping[str, Axis] | None,
) -> Any:
    x, y = pair
    anchor = "oracle"
    ends = {name: domain(rows, name) for name in pair}
    placed: dict[str, Any] = {
        channel: kind(
            f"{name}:Q",
            title=axis_of(name, axes).title(anchor).partition(" (")[0],
            scale=alt.Scale(domain=list(ends[name]), nice=False, zero=False),
            axis=axis(5),
        )
        for channel, kind, name in (("x", alt.X, x), ("y", alt.Y, y))
    }
    base = alt.Chart(rows).encode(**placed)
    line = staircase(rows.assign(complete=True), x, y, ends[x], ends[y], axes)
    steps = alt.Chart(line.assign(position=range(len(line)))).mark_line(
        interpolate=step_of(x, axes), strokeDash=[5, 3], color="#888888", strokeWidth=1.2
    )
    layers = [
        steps.encode(**placed, order=alt.Order("position:Q")),
        *_references(base, theme),
        _ringed(base, theme),
        _competitors(base, methods, brush).properties(name=_view(pair)),
    ]
    return layered(*layers, width=SIDE, height=SIDE)


def _references(base: Any, theme: str) -> list[Any]:
    found = []
    for name, shape in ANCHOR_SHAPES.items():
        mark = base.transform_filter(f"datum.method == '{name}'")
        style: dict[str, Any] = {"filled": True, "opacity": 1, "color": ANCHOR[theme]}
        found.append(mark.mark_point(shape=shape, size=120, **style).encode(description=alt.Description("configuration:N")))  # fmt: skip
    return found


def _ringed(base: Any, theme: str) -> Any:
    ring = base.transform_filter("datum.selected")
    return ring.mark_point(size=330, strokeWidth=2, color=ANCHOR[theme])


def _competitors(base: Any, methods: Families, brush: Any) -> Any:
    legend = alt.Legend(title="Method", orient="bottom", columns=4, symbolLimit=0)
    return (
        base.transform_filter("datum.method != 'base' && datum.method != 'oracle'")
        .mark_point(filled=True, size=90)
        .encode(
            color=alt.Color("family:N", scale=methods.colours(), legend=legend),
            shape=alt.Shape("family:N", scale=methods.shapes(), legend=legend),
            opacity=alt.OpacityValue(0.18, condition={"param": brush.name, "value": 1}),
            description=alt.Description("configuration:N"),
            tooltip=[alt.Tooltip("configuration:N")],
        )
    )
