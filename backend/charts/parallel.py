"""Parallel coordinates: a line a configuration or run, over axes of parameters and results side by side."""

from collections.abc import Collection, Mapping, Sequence
from textwrap import wrap
from typing import Any

import altair as alt
import pandas as pd

from backend.charts.layers import layered
from backend.charts.theme import ANCHOR, GROUND, SVG, colours, dashes
from backend.parallel_axes import MISSING, Axis, lines

HEIGHT = 420
WIDEST = 12  # letters in a line of an axis's title
TOP, LINE = 1.08, 0.06  # where titles begin, and how high a line of them is


def parallel_chart(
    frame: pd.DataFrame,
    axes: Sequence[Axis],
    titles: Mapping[str, str],
    chosen: Collection[str] = (),
    theme: str = "light",
) -> Any:
    """A line for every row of `frame` (columns `name` and `method`), coloured by method.

    The rows whose name is `chosen` are drawn strong and the rest pale; with none chosen all are alike. Clicks arrive as
    the selection `pick` on the field `name`.
    """
    rows = lines(frame, axes, {"name": "name", "method": "method"})
    strong = rows["name"].isin(list(chosen))
    pale, drawn = (rows[~strong], rows[strong]) if strong.any() else (rows.iloc[:0], rows)
    told = [_titled(axis, titles) for axis in axes]
    highest = TOP + LINE * max(len(one) for one in told)
    x = alt.X("axis:N", sort=[a.name for a in axes], scale=alt.Scale(type="point", padding=0.35), axis=None)  # fmt: skip
    y = alt.Y("position:Q", scale=alt.Scale(domain=[MISSING - 0.05, highest], nice=False), axis=None)  # fmt: skip
    plain = max(0.15, min(0.75, 15 / max(1, len(frame))))
    methods = sorted(set(rows["method"]))
    layers = [
        _legend(axes[0].name, methods, x, y),
        _rules(axes, x, y, theme),
        _lines(pale, methods, x, y, min(0.16, plain), 1.0),
        _lines(
            drawn,
            methods,
            x,
            y,
            0.95 if strong.any() else plain,
            2.6 if strong.any() else 1.6,
        ),
        _points(rows, methods, x, y, 0.2 if strong.any() else min(0.8, 2 * plain)),
        *_ticks(axes, x, y, theme),
        _titles(axes, told, x, y, theme),
    ]
    return layered(*layers, height=HEIGHT, usermeta=SVG)


def _titled(axis: Axis, titles: Mapping[str, str]) -> list[str]:
    """An axis's title in lines that fit above it."""
    return wrap(titles.get(axis.name, axis.name) + (" (log)" if axis.logarithmic else ""), WIDEST)


def _titles(axes: Sequence[Axis], told: Sequence[list[str]], x: Any, y: Any, theme: str) -> Any:
    """The titles above the axes, a mark a line, the last line nearest to its axis."""
    table = [
        {"axis": axis.name, "position": TOP + LINE * (len(lines_of) - 1 - k), "label": text}
        for axis, lines_of in zip(axes, told, strict=True)
        for k, text in enumerate(lines_of)
    ]
    mark = alt.Chart(pd.DataFrame(table)).mark_text(baseline="middle", fontSize=12, color=ANCHOR[theme])  # fmt: skip
    return mark.encode(x=x, y=y, text=alt.Text("label:N"))


def _rules(axes: Sequence[Axis], x: Any, y: Any, theme: str) -> Any:
    table = pd.DataFrame({"axis": [a.name for a in axes], "position": 0.0, "top": 1.0})
    mark = alt.Chart(table).mark_rule(color=ANCHOR[theme], opacity=0.55)
    return mark.encode(x=x, y=y, y2=alt.Y2("top:Q"))


def _legend(axis: str, methods: list[str], x: Any, y: Any) -> Any:
    """Nothing that is drawn, but the legend takes after it: strong lines, however pale the picture's are."""
    none = pd.DataFrame({"method": methods, "axis": axis, "position": None, "row": 0, "place": 0})
    return _lines(none, methods, x, y, 1.0, 3.0)


def _colour(methods: Sequence[str]) -> Any:
    legend = alt.Legend(
        orient="bottom", columns=5, symbolType="stroke", symbolSize=400, symbolStrokeWidth=3
    )
    return alt.Color("method:N", scale=colours(methods), title="Method", legend=legend)


def _lines(part: pd.DataFrame, methods: list[str], x: Any, y: Any, opacity: float, width: float) -> Any:  # fmt: skip
    dash = alt.StrokeDash("method:N", scale=dashes(methods), title="Method")
    mark = alt.Chart(part).mark_line(opacity=opacity, strokeWidth=width)
    colour = _colour(methods)
    return mark.encode(
        x=x,
        y=y,
        detail=alt.Detail("row:N"),
        order=alt.Order("place:Q"),
        color=colour,
        strokeDash=dash,
    )


def _points(rows: pd.DataFrame, methods: list[str], x: Any, y: Any, opacity: float) -> Any:
    """Where lines meet axes: what can be pointed at and clicked."""
    pick = alt.selection_point(name="pick", fields=["name"], toggle="event.shiftKey")
    told = [alt.Tooltip("name:N", title="What"), alt.Tooltip("method:N"), alt.Tooltip("axis:N", title="Axis"), alt.Tooltip("value:N", title="Value")]  # fmt: skip
    mark = alt.Chart(rows).mark_circle(size=46, opacity=opacity)
    return mark.encode(x=x, y=y, color=_colour(methods), tooltip=told, description=alt.Description("name:N")).add_params(pick)  # fmt: skip


def _ticks(axes: Sequence[Axis], x: Any, y: Any, theme: str) -> list[Any]:
    """The values beside every axis, on a ground that keeps them readable among lines."""
    told = [
        {"axis": axis.name, "position": position, "label": label[:18]}
        for axis in axes
        for position, label in axis.ticks
    ]
    base = alt.Chart(pd.DataFrame(told, columns=["axis", "position", "label"]))
    style: dict[str, Any] = {"align": "left", "dx": 7, "fontSize": 11, "baseline": "middle"}
    ground = base.mark_text(**style, stroke=GROUND[theme], strokeWidth=4, strokeJoin="round", color=GROUND[theme])  # fmt: skip
    return [
        layer.encode(x=x, y=y, text=alt.Text("label:N"))
        for layer in (ground, base.mark_text(**style, color=ANCHOR[theme]))
    ]
