"""How many labels does it need: an objective by the share of forget items that are known to be such."""

import re
from typing import Any

import altair as alt
import pandas as pd

from backend.anchors import competing
from backend.charts.layers import layered
from backend.charts.naming import told_apart
from backend.charts.theme import ANCHOR, SVG, axis, colours, shapes, title_of


def series(frame: pd.DataFrame) -> pd.DataFrame:
    """The configurations that are there with several label fractions, each with the name that they share."""
    rows = frame[competing(frame)].copy()
    rows["series"] = [_without_labels(name) for name in rows["configuration"]]
    several = rows.groupby("series")["label_fraction"].transform("nunique") > 1
    return rows[several].sort_values(["series", "label_fraction"])


def _without_labels(name: str) -> str:
    told = re.sub(r"(, )?labels [\d.e-]+", "", name)
    return re.sub(r" \((, )?\)", "", told).replace("(, ", "(")


def labels_chart(
    frame: pd.DataFrame, y: str = "robust_forget_quality", theme: str = "light"
) -> Any:
    """One line a configuration over its label fractions, with the interval over seeds; base and oracle as rules."""
    rows = series(frame).dropna(subset=[y])
    rows["series"] = rows["series"].map(told_apart(rows["series"]))
    names = list(dict.fromkeys(rows["series"]))
    known = sorted(set(rows["label_fraction"]))
    x = alt.X(
        "label_fraction:Q",
        title="Share of the forget items that are labelled",
        scale=alt.Scale(type="log", nice=False, padding=12),
        axis=alt.Axis(values=known, format="~g", labelOverlap=True),
    )
    up = alt.Y(f"{y}:Q", title=title_of(y), scale=alt.Scale(zero=False), axis=axis())
    colour = alt.Color("series:N", scale=colours(names), title="Recipe", legend=alt.Legend(labelLimit=260, symbolOpacity=1))  # fmt: skip
    base = alt.Chart(rows).encode(x=x, color=colour)
    layers = [base.mark_line(strokeWidth=1.5).encode(y=up)]
    if f"{y}_low" in rows and rows[f"{y}_low"].notna().any():
        ends = alt.Y(f"{y}_low:Q", title=title_of(y))
        spread = base.transform_filter(f"isValid(datum['{y}_low'])")
        layers.append(spread.mark_rule(opacity=0.5).encode(y=ends, y2=alt.Y2(f"{y}_high:Q")))
    points = base.mark_point(filled=True, size=90, opacity=1).encode(
        y=up,
        shape=alt.Shape("series:N", scale=shapes(names), title="Recipe"),
        tooltip=[
            alt.Tooltip("configuration:N"),
            alt.Tooltip("label_fraction:Q"),
            alt.Tooltip(f"{y}:Q", format=".3f"),
        ],
    )
    anchors = frame[~competing(frame)].dropna(subset=[y])
    rule = alt.Chart(anchors).encode(y=alt.Y(f"{y}:Q"), tooltip=[alt.Tooltip("configuration:N")])
    layers.append(rule.mark_rule(strokeDash=[4, 4], color=ANCHOR[theme]))
    layers.append(points)
    return layered(*layers, height=440, usermeta=SVG)
