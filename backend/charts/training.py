"""Curves of one run, and its figures by kind of item."""

from typing import Any

import altair as alt
import pandas as pd

from backend.charts.theme import SVG, colours


def loss_chart(curves: pd.DataFrame) -> Any:
    """Training curves: columns metric, step, value; one line a metric."""
    names = list(dict.fromkeys(curves["metric"]))
    return (
        alt.Chart(curves)
        .mark_line()
        .encode(
            x=alt.X("step:Q").title("Step"),
            y=alt.Y("value:Q").title("Value").scale(zero=False),
            color=alt.Color("metric:N").scale(colours(names)).title("Curve"),
            tooltip=["metric:N", "step:Q", alt.Tooltip("value:Q", format=".4g")],
        )
        .properties(height=260, usermeta=SVG)
    )


def category_chart(figures: pd.DataFrame) -> Any:
    """Figures by kind of item: columns category, split, metric, value (and items for the tooltip)."""
    names = list(dict.fromkeys(figures["split"]))
    return (
        alt.Chart(figures)
        .mark_bar()
        .encode(
            x=alt.X("category:N").title(None).axis(labelAngle=0, labelFontSize=14),
            xOffset="split:N",
            y=alt.Y("value:Q").title(str(figures["metric"].iloc[0]) if len(figures) else "Value"),
            color=alt.Color("split:N").scale(colours(names)).title("Split"),
            tooltip=["category:N", "split:N", alt.Tooltip("value:Q", format=".3f"), "items:Q"],
        )
        .properties(height=240, usermeta=SVG)
    )
