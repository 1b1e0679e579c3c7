"""What a machine was at: a small chart for each measure, with an axis of its own."""

from datetime import UTC, datetime
from typing import Any

import altair as alt
import pandas as pd

from backend.charts.theme import SVG, axis, colours, dashes

HEIGHT = 150
TITLE: dict[str, Any] = {"anchor": "start", "fontSize": 13, "fontWeight": "normal", "offset": 4}
BYTES = "datum.value == 0 ? '0' : datum.value >= 1e12 ? format(datum.value / 1e12, '.3~g') + ' TB' : datum.value >= 1e9 ? format(datum.value / 1e9, '.3~g') + ' GB' : format(datum.value / 1e6, '.3~g') + ' MB'"
Window = tuple[datetime, datetime]


def machine_chart(rows: pd.DataFrame, window: Window) -> Any:
    """One measure of `backend.machine_history.lines` over a window of time: a line a card, broken where nobody looked."""
    return _chart(rows, window).properties(usermeta=SVG)


def _chart(rows: pd.DataFrame, window: Window) -> Any:
    unit, title = str(rows["unit"].iloc[0]), str(rows["title"].iloc[0])
    series = list(dict.fromkeys(rows["series"]))
    # Numbers: how a moment travels to the browser depends on pandas' resolution of the day.
    drawn = rows[["value", "series", "card", "alone"]].assign(at=_milliseconds(rows["at"]))
    told = [alt.Tooltip("at:T", format="%d %b %H:%M:%S"), alt.Tooltip("value:Q", format=".4~s")]
    base = alt.Chart(drawn).encode(
        x=alt.X("at:T", title=None, scale=alt.Scale(domain=_ends(window)), axis=axis(5)),
        y=alt.Y("value:Q", title=None, scale=_scale(rows, unit), axis=_axis(unit)),
        tooltip=[*told, *([alt.Tooltip("card:N"), alt.Tooltip("series:N")] if series != [""] else [])],
    )  # fmt: skip
    if len(series) > 1:
        legend = alt.Legend(orient="right", symbolType="stroke", symbolSize=200)
        base = base.encode(
            color=alt.Color("series:N", scale=colours(series), title="GPU", legend=legend),
            strokeDash=alt.StrokeDash("series:N", scale=dashes(series), title="GPU"),
        )
    layers = [base.mark_line()]
    if (
        rows["alone"].astype(bool).any()
    ):  # a look between two absences is no line; it shows as a point
        layers.append(base.transform_filter("datum.alone").mark_point(filled=True, size=20))
    named = title if unit == "bytes" else f"{title} ({unit})"
    return alt.layer(*layers).properties(height=HEIGHT, title=alt.TitleParams(named, **TITLE))


def machines_chart(rows: pd.DataFrame, window: Window) -> Any:
    """All measures above one another, as a file shows them."""
    parts = [_chart(part, window) for _, part in rows.groupby("measure", sort=False)]
    return alt.vconcat(*parts).resolve_scale(color="independent", strokeDash="independent")


def _ends(window: Window) -> list[Any]:
    """The window as an axis' ends: in parts, since the browser's side takes no number of this size for a moment."""
    return [_parts(moment.astimezone(UTC)) for moment in window]


def _parts(at: datetime) -> alt.DateTime:
    day: dict[str, Any] = {"year": at.year, "month": at.month, "date": at.day}
    return alt.DateTime(**day, hours=at.hour, minutes=at.minute, seconds=at.second, utc=True)


def _milliseconds(moments: pd.Series) -> pd.Series:
    return (moments - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(milliseconds=1)


def _scale(rows: pd.DataFrame, unit: str) -> alt.Scale:
    """From 0 to all there is, where that is known; else from 0 to a little above the largest value."""
    most = rows["most"].astype(float).max()
    top = most if most == most else None
    return alt.Scale(domain=[0, float(top)], nice=False) if top else alt.Scale(zero=True)


def _axis(unit: str) -> alt.Axis:
    return axis(3, labelExpr=BYTES) if unit == "bytes" else axis(3)
