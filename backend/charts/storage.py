"""What the data directory holds, as bars."""

from typing import Any

import altair as alt
import pandas as pd

from backend.charts.theme import PALETTE, SVG, axis

KEPT, FREE = "stays", "may be removed"
ROW = 30  # pixels a bar


def storage_chart(kinds: pd.DataFrame) -> Any:
    """`backend.storage.by_kind` as one bar a kind, what may go at its end."""
    rows = kinds[kinds["files"] > 0]
    parts = [
        rows.assign(part=KEPT, amount=rows["bytes"] - rows["removable"], order=0),
        rows.assign(part=FREE, amount=rows["removable"], order=1),
    ]
    shown = pd.concat(parts)
    shown = shown[shown["amount"] > 0]
    order = list(rows.sort_values("bytes", ascending=False)["label"])
    scale = alt.Scale(domain=[KEPT, FREE], range=[PALETTE[0], PALETTE[1]])
    return (
        alt.Chart(shown)
        .mark_bar()
        .encode(
            x=alt.X("amount:Q", title="Bytes", stack="zero", axis=axis(6, format="~s")),
            y=alt.Y("label:N", title=None, sort=order, axis=alt.Axis(labelLimit=220)),
            color=alt.Color("part:N", scale=scale, title=None, legend=alt.Legend(orient="top")),
            order=alt.Order("order:Q"),
            tooltip=[
                alt.Tooltip("label:N"),
                alt.Tooltip("part:N"),
                alt.Tooltip("amount:Q", format=".3~s"),
                alt.Tooltip("files:Q"),
            ],
        )
        .properties(height=alt.Step(ROW), usermeta=SVG)
    )
