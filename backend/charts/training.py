"""Curves of one run, and its figures by kind of item."""

from typing import Any

import altair as alt
import pandas as pd

from backend.charts.theme import SVG, axis, colours, dashes

FORECAST = "forecast of the loss"
FORESEEN = "#D55E00"


def loss_chart(curves: pd.DataFrame, ticks: int = 8, forecast: pd.DataFrame | None = None) -> Any:
    """Training curves: columns metric, step, value; one line a metric. `forecast` (step, value) is drawn dashed."""
    # The loss first: its line is the unbroken one.
    names = sorted(dict.fromkeys(curves["metric"]), key=lambda name: name != "loss")
    colour, dash = colours(names), dashes(names)
    title = "Value" if len(names) > 1 else (names or ["Value"])[0].capitalize()
    if forecast is not None and len(forecast):
        curves = pd.concat([curves, forecast.assign(metric=FORECAST)], ignore_index=True)
        names = [*names, FORECAST]
        colour = alt.Scale(domain=names, range=[*colour.range, FORESEEN])
        dash = alt.Scale(domain=names, range=[*dash.range, [5, 4]])
    legend = alt.Legend(symbolType="stroke", symbolSize=300) if len(names) > 1 else None
    return (
        alt.Chart(curves)
        .mark_line()
        .encode(
            x=alt.X("step:Q", title="Step", axis=axis()),
            y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False), axis=axis(ticks)),
            color=alt.Color("metric:N", scale=colour, title="Curve", legend=legend),
            strokeDash=alt.StrokeDash("metric:N", scale=dash, title="Curve"),
            tooltip=[
                alt.Tooltip("metric:N"),
                alt.Tooltip("step:Q"),
                alt.Tooltip("value:Q", format=".4g"),
            ],
        )
        .properties(height=260, usermeta=SVG)
    )


def category_chart(figures: pd.DataFrame) -> Any:
    """Figures by kind of item: columns category, split, metric, value; standard_error draws a bar of two."""
    names = list(dict.fromkeys(figures["split"]))
    metric = str(figures["metric"].iloc[0]) if len(figures) else "Value"
    base = alt.Chart(figures).encode(
        x=alt.X("category:N", title=None, axis=alt.Axis(labelAngle=0, labelFontSize=14)),
    )
    if figures.groupby("category")["split"].nunique().max() > 1:
        # Bars side by side only where a kind of item is in both: else half of every place stays empty.
        base = base.encode(xOffset=alt.XOffset("split:N").scale(domain=names))
    bars = base.mark_bar().encode(
        y=alt.Y("value:Q", title=metric.capitalize(), axis=axis()),
        color=alt.Color("split:N").scale(colours(names)).title("Split"),
        tooltip=[
            alt.Tooltip("category:N"),
            alt.Tooltip("split:N"),
            alt.Tooltip("value:Q", format=".3f"),
            alt.Tooltip("items:Q"),
        ],
    )
    layers = [bars]
    if "standard_error" in figures:
        spread = base.transform_filter("isValid(datum.standard_error)").transform_calculate(
            # No share and no loss is below 0; a bar that is says nothing more.
            low="datum.value < 0 ? datum.value - 2 * datum.standard_error"
            " : max(0, datum.value - 2 * datum.standard_error)",
            high="datum.value + 2 * datum.standard_error",
        )
        layers.append(
            spread.mark_rule(color="#7F7F7F", strokeWidth=2).encode(
                y=alt.Y("low:Q", title=metric.capitalize()), y2=alt.Y2("high:Q")
            )
        )
    return alt.layer(*layers).properties(height=240, usermeta=SVG)
