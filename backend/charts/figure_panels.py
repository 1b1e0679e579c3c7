"""Small panels beside each other: lines with bands, and their legend below, where a narrow page has room for it."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from backend.charts.layers import layered
from backend.charts.theme import ANCHOR, SVG, axis, colours, dashes, shapes

REFERENCES = ("Base", "Oracle")
WIDTH, HEIGHT = 210, 230  # pixels of a panel in a file
PAGE_HEIGHT = 350  # of a panel on a page, where title and axes count too
LEGEND_LINE = 20  # pixels of a legend's line on a page


def beside(panels: Sequence[Any], across: int, shared: bool = True) -> Any:
    """The panels in rows as one picture of a stated size, with one legend where they share it."""
    sized = [panel.copy(deep=True).properties(width=WIDTH, height=HEIGHT) for panel in panels]
    for panel in sized:
        panel.usermeta = alt.Undefined  # a whole picture's only
    rows = [alt.hconcat(*sized[i : i + across]) for i in range(0, len(sized), across)]
    whole = rows[0] if len(rows) == 1 else alt.vconcat(*rows)
    if not shared:
        apart: dict[str, Any] = dict.fromkeys(("color", "shape", "strokeDash"), "independent")
        whole = whole.resolve_scale(**apart).resolve_legend(**apart)
    return whole.properties(usermeta=SVG)


def colour_of(names: Sequence[str], theme: str) -> alt.Scale:
    """One colour a name, greys for base and oracle."""
    plain = [name for name in names if name not in REFERENCES]
    palette = dict(zip(plain, colours(plain).range, strict=True))  # type: ignore[arg-type]
    return alt.Scale(domain=list(names), range=[palette.get(name, ANCHOR[theme]) for name in names])


def dash_of(names: Sequence[str]) -> alt.Scale:
    """One kind of line a name: the base dotted, the oracle solid."""
    plain = [name for name in names if name not in REFERENCES]
    kinds = dict(zip(plain, dashes(plain).range, strict=True))  # type: ignore[arg-type]
    kinds |= {"Base": [2, 3], "Oracle": [1, 0]}
    return alt.Scale(domain=list(names), range=[kinds[name] for name in names])


def legend(columns: int = 2, symbol: str = "stroke") -> alt.Legend:
    """A legend below the panel."""
    return alt.Legend(
        orient="bottom",
        columns=columns,
        symbolType="stroke" if symbol == "stroke" else alt.Undefined,
        symbolSize=200 if symbol == "stroke" else 90,
        symbolStrokeWidth=2.5,
        symbolLimit=0,
        symbolOpacity=1,
        labelLimit=320 // columns,
        titleLimit=320,
    )


def legend_height(names: Sequence[str], columns: int = 2) -> int:
    """Pixels of a page's chart that its legend takes: its lines and its title."""
    return 30 + LEGEND_LINE * -(-len(names) // columns)


def lines_panel(
    frame: pd.DataFrame,
    names: Sequence[str],
    *,
    x: alt.X,
    y_title: str | list[str],
    title: str = "",
    called: str = "",
    theme: str = "light",
    columns: int = 2,
    points: bool = False,
    limits: tuple[float, float] | None = None,
) -> Any:
    """Lines of `frame` (line, the x column, mean, low, high) over x with bands from low to high.

    `names` are all lines of the figure in the legend's order, so that panels share colours; `limits` those of y.
    """
    scale = alt.Scale(zero=False) if limits is None else alt.Scale(domain=list(limits), nice=True)
    y = alt.Y("mean:Q", title=y_title, axis=axis(6), scale=scale)
    below = legend(columns, "circle" if points else "stroke")
    colour = alt.Color("line:N", scale=colour_of(names, theme), sort=list(names), title=called, legend=below)  # fmt: skip
    field = str(x.shorthand).partition(":")[0]
    told: list[Any] = [alt.Tooltip("line:N"), alt.Tooltip(f"{field}:Q"), alt.Tooltip("mean:Q", format=".3f"), alt.Tooltip("low:Q", format=".3f"), alt.Tooltip("high:Q", format=".3f")]  # fmt: skip
    base = alt.Chart(frame).encode(x=x, color=colour, tooltip=told)
    line = base.mark_line(strokeWidth=2).encode(y=y)
    if not points:  # else their shapes tell the lines apart
        line = line.encode(strokeDash=alt.StrokeDash("line:N", scale=dash_of(names), sort=list(names), title=called, legend=below))  # fmt: skip
    layers = [line]
    if (frame["high"] > frame["low"]).any():
        layers.insert(0, base.mark_area(opacity=0.13).encode(y=alt.Y("low:Q", title=y_title, scale=scale), y2=alt.Y2("high:Q")))  # fmt: skip
    if points:
        signs = alt.Shape("line:N", scale=shapes(names), sort=list(names), title=called, legend=below)  # fmt: skip
        layers.append(base.mark_point(filled=True, size=70, opacity=1).encode(y=y, shape=signs))
    height = PAGE_HEIGHT + legend_height(names, columns)
    return layered(*layers, title=title, height=height, usermeta=SVG)


def corner(words: str, right: bool, top: bool, theme: str) -> Any:
    """A word in a corner of the plot, to say which one is better."""
    mark = alt.Chart(pd.DataFrame({"told": [words]})).mark_text(
        align="right" if right else "left",
        baseline="top" if top else "bottom",
        dx=-4 if right else 4,
        dy=4 if top else -4,
        fontStyle="italic",
        color=ANCHOR[theme],
    )
    x, y = alt.XValue("width" if right else 0), alt.YValue(0 if top else "height")
    return mark.encode(x=x, y=y, text=alt.Text("told:N"))
