"""The hypervolume of every method, with its interval over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from backend.charts.layers import layered
from backend.charts.theme import ANCHOR, SVG, axis

COLUMNS = ["method", "hypervolume", "low", "high", "configurations", "left_out"]


def volumes_frame(found: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """What `backend.front.method_volumes` found as a table, largest first."""
    rows = [{**one, "hypervolume": one["mean"]} for one in found]
    return pd.DataFrame(rows, columns=COLUMNS)


def volumes_chart(frame: pd.DataFrame, theme: str = "light") -> Any:
    """A point for each method with its interval; a method without several seeds has no bar."""
    order = frame["method"].tolist()
    base = alt.Chart(frame).encode(y=alt.Y("method:N", sort=order, title=None))
    title = "Hypervolume (↑ robust forget quality × utility × compute saved)"
    across = alt.X("hypervolume:Q", title=title, axis=axis(), scale=alt.Scale(zero=True))
    ends = alt.X("low:Q", title=title)
    bars = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2, color="#0072B2")
    numbers = [alt.Tooltip(f"{n}:Q", format=".3f") for n in ("hypervolume", "low", "high")]
    points = base.mark_point(filled=True, size=90, color=ANCHOR[theme]).encode(
        x=across,
        description=alt.Description("method:N"),
        tooltip=[alt.Tooltip("method:N"), *numbers, alt.Tooltip("configurations:Q")],
    )
    bars = bars.encode(x=ends, x2=alt.X2("high:Q"))
    return layered(bars, points, height=alt.Step(26), usermeta=SVG)
