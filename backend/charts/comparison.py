"""Configurations side by side: differences from a reference, curves with bands, items that flip."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from backend.charts.layers import layered
from backend.charts.theme import ANCHOR, DASHES, PALETTE, SVG, axis

# What a difference turned out to be is a shape and a colour; what was not found is a plain grey dot.
GOOD, BAD, NEITHER = "better", "worse", "different, neither end is better"
SAME, OPEN = "same difference in every seed, so no test", "not distinguishable, or no test"
FINDINGS = {
    GOOD: ("triangle-up", "#0072B2"),
    BAD: ("triangle-down", "#D55E00"),
    NEITHER: ("diamond", "#CC79A7"),
    SAME: ("square", "#8C8C00"),
    OPEN: ("circle", "#7F7F7F"),
}


def difference_chart(tested: pd.DataFrame, title: str, theme: str = "light") -> Any:
    """Differences from the reference, one line a measure and configuration, with their intervals around them.

    `tested` is what `backend.comparison.compare` gives, with `named` (a short name) and `finding` (a key of FINDINGS).
    """
    rows = tested.dropna(subset=["difference"])
    labels, names = list(dict.fromkeys(rows["label"])), list(dict.fromkeys(rows["named"]))
    x = alt.X("difference:Q", title=title, axis=axis(), scale=alt.Scale(padding=12))
    y = alt.Y("label:N", sort=labels, title=None, axis=alt.Axis(labelLimit=240), scale=alt.Scale(paddingInner=0.35))  # fmt: skip
    base = alt.Chart(rows).encode(y=y)
    if len(names) > 1:
        base = base.encode(yOffset=alt.YOffset("named:N", sort=names))
    present = [name for name in FINDINGS if name in set(rows["finding"])]
    looks = [
        alt.Scale(domain=present, range=[FINDINGS[name][i] for name in present]) for i in (0, 1)
    ]
    legend = alt.Legend(symbolOpacity=1, labelLimit=320, orient="top", columns=1)
    told = "After Holm's correction"
    colour = alt.Color("finding:N", scale=looks[1], title=told, legend=legend)
    shape = alt.Shape("finding:N", scale=looks[0], title=told, legend=legend)
    ends = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2, opacity=0.7)
    points = base.mark_point(filled=True, size=110, opacity=1).encode(
        x=x, color=colour, shape=shape, tooltip=_tooltip()
    )
    zero = alt.Chart(pd.DataFrame({"difference": [0.0]})).mark_rule(
        strokeDash=[4, 4], color=ANCHOR[theme]
    )
    layers = [
        zero.encode(x=alt.X("difference:Q")),
        ends.encode(x=alt.X("low:Q", title=title), x2=alt.X2("high:Q"), color=colour),
        points,
    ]
    if len(names) > 1:
        layers.append(_names(base, theme))
    # The page's height holds legend, axis and title too: room for every line.
    height = 130 + 20 * len(present) + 30 * len(rows) + 14 * len(labels)
    return layered(*layers, height=height, usermeta=SVG)


def _names(base: Any, theme: str) -> Any:
    """Each configuration's name above its point: with several in one row a legend would have to be looked up."""
    text = base.mark_text(dy=-10, fontSize=10, color=ANCHOR[theme])
    return text.encode(x=alt.X("difference:Q"), text=alt.Text("named:N"))


def _tooltip() -> list[Any]:
    return [
        alt.Tooltip("configuration:N", title="configuration"),
        alt.Tooltip("reference:N", title="against"),
        alt.Tooltip("label:N", title="metric"),
        alt.Tooltip("difference:Q", format="+.4f"),
        alt.Tooltip("low:Q", format="+.4f", title="interval, low"),
        alt.Tooltip("high:Q", format="+.4f", title="interval, high"),
        alt.Tooltip("p_holm:Q", format=".3g", title="p, Holm"),
        alt.Tooltip("said:N", title="verdict"),
    ]


def banded_chart(banded: pd.DataFrame, x: str, y: str, names: Mapping[str, str]) -> Any:
    """Mean curves with bands over seeds, one a configuration; `names` are what a legend calls them.

    `banded` is what `backend.curve_bands.bands` gives. Colours and dashes follow the order of `names`.
    """
    rows = banded.assign(named=banded["configuration"].map(names))
    order = [names[label] for label in names if label in set(banded["configuration"])]
    palette, dash = _styles(list(names.values()), order)
    legend = alt.Legend(
        symbolType="stroke", symbolSize=300, symbolStrokeWidth=2.5, symbolOpacity=1,
        labelLimit=280, orient="bottom", columns=2,
    )  # fmt: skip
    colour = alt.Color("named:N", scale=palette, sort=order, title=None, legend=legend)
    base = alt.Chart(rows).encode(
        x=alt.X("step:Q", title=x, axis=axis(), scale=alt.Scale(nice=False)), color=colour
    )
    up = alt.Scale(zero=False)
    line = base.mark_line(strokeWidth=2.2).encode(
        y=alt.Y("mean:Q", title=y, axis=axis(), scale=up),
        strokeDash=alt.StrokeDash("named:N", scale=dash, sort=order, title=None, legend=legend),
        tooltip=[
            alt.Tooltip("configuration:N"),
            alt.Tooltip("step:Q"),
            *(alt.Tooltip(f"{end}:Q", format=".4g") for end in ("mean", "low", "high")),
            alt.Tooltip("seeds:Q"),
        ],
    )
    area = base.transform_filter("isValid(datum.low)").mark_area(opacity=0.16)
    shaded = area.encode(y=alt.Y("low:Q", title=y, scale=up), y2=alt.Y2("high:Q"))
    # The page's height holds the legend below, two names a row.
    return layered(shaded, line, height=330 + 11 * len(order), usermeta=SVG)


def _styles(every: Sequence[str], drawn: Sequence[str]) -> tuple[alt.Scale, alt.Scale]:
    """Colour and dash by the place among all that are compared, so that every chart of a page agrees."""
    places = [list(every).index(name) for name in drawn]
    colours = [PALETTE[i % len(PALETTE)] for i in places]
    lines = [DASHES[(i // len(PALETTE) + i) % len(DASHES)] for i in places]
    return alt.Scale(domain=list(drawn), range=colours), alt.Scale(domain=list(drawn), range=lines)


def flips_chart(counted: pd.DataFrame, theme: str = "light") -> Any:
    """Items that flip: to the left what only the reference answers right, to the right what only the other does.

    `counted` has the columns place, flip (what such a flip is called), items, side (-1 or 1) and good (a sentence part).
    """
    rows = counted.assign(signed=counted["items"] * counted["side"])
    places = list(dict.fromkeys(rows["place"]))
    most = int(rows["items"].max()) if len(rows) else 1
    scale = alt.Scale(domain=[-1.5 * max(most, 1), 1.5 * max(most, 1)], nice=False)
    across = alt.Axis(labelExpr="abs(datum.value)", tickCount=8, tickMinStep=1)
    base = alt.Chart(rows).encode(
        y=alt.Y("place:N", sort=places, title=None, axis=alt.Axis(labelLimit=260)),
        tooltip=[
            alt.Tooltip(f"{name}:{kind}")
            for name, kind in (("place", "N"), ("flip", "N"), ("items", "Q"), ("good", "N"))
        ],
    )
    bars = base.mark_bar(height={"band": 0.6}).encode(
        x=alt.X("signed:Q", title="Items that flip", scale=scale, axis=across, stack=None),
        color=alt.Color(
            "good:N",
            scale=alt.Scale(domain=[GOOD, BAD], range=["#0072B2", "#D55E00"]),
            title="For the other configuration",
            legend=alt.Legend(orient="top"),
        ),
    )
    texts = []
    sides: tuple[tuple[int, Any, int], ...] = ((-1, "right", -6), (1, "left", 6))
    for side, align, shift in sides:
        mine = base.transform_filter(f"datum.side == {side}").transform_calculate(
            words="datum.items + ' ' + datum.flip"
        )
        text = mine.mark_text(align=align, dx=shift, color=ANCHOR[theme])
        texts.append(text.encode(x=alt.X("signed:Q"), text=alt.Text("words:N")))
    return layered(bars, *texts, height=130 + 50 * len(places), usermeta=SVG)
