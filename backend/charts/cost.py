"""Where a study's FLOPs and time went: bars of the stages one after another."""

from typing import Any

import altair as alt
import pandas as pd

from backend.charts.theme import SVG, axis
from backend.cost import STAGES

# A stage has the same colour in every study, so that charts can be compared.
COLOURS = {
    "base": "#56B4E9",
    "oracle": "#E69F00",
    "pretrain": "#904824",
    "suppress": "#0072B2",
    "robustify": "#009E73",
    "wrap": "#F0E442",
    "search trials": "#A854FC",
    "evaluation": "#CC79A7",
    "attacks": "#D55E00",
}
MEASURES = {"flops": "FLOPs", "seconds": "Seconds of one slot"}
ROW = 26  # pixels a bar


def shares_chart(costs: pd.DataFrame) -> Any:
    """`backend.cost.whole` as two bars, FLOPs and seconds, in shares of each."""
    parts = [
        costs.assign(measure=title, amount=costs[name], share=costs[f"share_of_{name}"])
        for name, title in MEASURES.items()
    ]
    x = alt.X("share:Q", title="Share of the total", axis=axis(format="%"), stack="zero")
    return _bars(pd.concat(parts).dropna(subset=["share"]), x, "measure:N", list(MEASURES.values()))


def amounts_chart(costs: pd.DataFrame, measure: str) -> Any:
    """`backend.cost.by_configuration` as one bar a configuration, in `flops` or `seconds`."""
    rows = costs.assign(amount=costs[measure], share=costs[f"share_of_{measure}"])
    x = alt.X("amount:Q", title=MEASURES[measure], axis=axis(format="~s"), stack="zero")
    return _bars(rows, x, "configuration:N", list(dict.fromkeys(costs["configuration"])))


def _bars(rows: pd.DataFrame, x: alt.X, y: str, order: list[str]) -> Any:
    present = [stage for stage in STAGES if stage in set(rows["stage"])]
    rows = rows.assign(position=rows["stage"].map(STAGES.index))
    scale = alt.Scale(domain=present, range=[COLOURS[stage] for stage in present])
    return (
        alt.Chart(rows)
        .mark_bar(stroke="white", strokeWidth=0.5)
        .encode(
            x=x,
            y=alt.Y(y, title=None, sort=order, axis=alt.Axis(labelLimit=320)),
            color=alt.Color("stage:N", scale=scale, title="Stage", sort=present, legend=alt.Legend(orient="bottom", columns=3, symbolStrokeWidth=0)),
            order=alt.Order("position:Q"),
            tooltip=[
                alt.Tooltip(y),
                alt.Tooltip("stage:N"),
                alt.Tooltip("amount:Q", format=".3~s"),
                alt.Tooltip("share:Q", format=".1%"),
                alt.Tooltip("finished:Q"),
                alt.Tooltip("runs:Q"),
            ],
        )
        .properties(height=alt.Step(ROW), usermeta=SVG)
    )  # fmt: skip
