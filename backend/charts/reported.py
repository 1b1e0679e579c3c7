"""What others report: two of their metrics against each other, a point a model."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from backend.anchors import ANCHORS
from backend.charts.theme import ANCHOR, ANCHOR_SHAPES, SVG, axis, colours, shapes

MOST_NAMED = 12  # methods that a legend can name
ARROWS = {"higher": " (↑ better)", "lower": " (↓ better)", None: ""}


def first_axes(metrics: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    """(across, up): what is kept, and what is forgotten, as far as the declarations tell."""
    names = list(metrics)
    kept = [n for n in names if metrics[n]["direction"] == "up" and metrics[n]["better"] == "higher"]  # fmt: skip
    across = next((n for n in kept if "utility" in n), kept[0] if kept else names[0])
    forgotten = [
        n for n in names if metrics[n]["direction"] == "down" or metrics[n]["better"] == "lower"
    ]
    told = [n for n in names if n.startswith(("tofu_forget_quality_log10", "uds"))]
    up = next((n for n in (*told, *forgotten, *names) if n != across), across)
    return across, up


def reported_chart(
    rows: pd.DataFrame,
    x: str,
    y: str,
    metrics: Mapping[str, Mapping[str, Any]],
    theme: str = "light",
) -> Any:
    """`rows` with model, method and the columns x and y; a colour and a shape a method, base and oracle apart."""
    rows = rows.dropna(subset=[x, y])
    methods = list(dict.fromkeys(m for m in rows["method"] if m not in ANCHORS))
    drawn = rows.assign(
        value_x=rows[x], value_y=rows[y]
    )  # a metric's name may mean something to Vega
    base = alt.Chart(drawn[["model", "method", "value_x", "value_y"]]).encode(
        x=alt.X("value_x:Q", title=_title(metrics[x]), scale=alt.Scale(zero=False), axis=axis()),
        y=alt.Y("value_y:Q", title=_title(metrics[y]), scale=alt.Scale(zero=False), axis=axis()),
        tooltip=[
            alt.Tooltip("model:N"),
            alt.Tooltip("value_x:Q", title=metrics[x]["label"], format=".4g"),
            alt.Tooltip("value_y:Q", title=metrics[y]["label"], format=".4g"),
        ],
    )
    competing = base.transform_filter(alt.FieldOneOfPredicate("method", methods)).mark_point(
        filled=True, size=70, opacity=0.85
    )
    if len(methods) <= MOST_NAMED:
        competing = competing.encode(**_kinds(methods))
    return alt.layer(competing, *_anchors(base, rows, theme)).properties(height=420, usermeta=SVG)


def _title(declared: Mapping[str, Any]) -> str:
    """An axis title: the metric with the end that is preferred."""
    return f"{declared['label']}{ARROWS[declared['better']]}"


def _kinds(methods: Sequence[str]) -> dict[str, Any]:
    legend = alt.Legend(orient="bottom", columns=4, symbolOpacity=1)
    return {
        "color": alt.Color("method:N", scale=colours(methods), title="Method", legend=legend),
        "shape": alt.Shape("method:N", scale=shapes(methods), title="Method", legend=legend),
    }


def _anchors(base: Any, rows: pd.DataFrame, theme: str) -> list[Any]:
    """Base and oracle with the signs that they have in every chart, named beside them."""
    layers = []
    for name, shape in ANCHOR_SHAPES.items():
        if name in set(rows["method"]):
            one = base.transform_filter(f"datum.method == '{name}'")
            layers.append(one.mark_point(shape=shape, size=160, color=ANCHOR[theme], strokeWidth=2))
            layers.append(one.mark_text(dx=12, align="left", color=ANCHOR[theme], text=name))
    return layers
