"""Attacks at a glance: methods × attacks, ROC curves, and what is known by layer and by token."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from backend.attack_frames import KNOWN, MISSING
from backend.charts.layers import layered
from backend.charts.theme import ANCHOR, SVG, axis, colours, dashes

KINDS = ("weights", "access", "policy", "probe")
TITLES = {
    "weights": "On weights",
    "access": "Through access",
    "policy": "Policy",
    "probe": "Probes",
}


def matrix_chart(frame: pd.DataFrame, theme: str = "light") -> Any:
    """Methods × attacks: the recovery as colour and number, one panel a kind of attack; what is missing is blank.

    `frame` is what `backend.attack_frames.matrix` gives. Colours are clipped to 0 … 1, numbers are not. A click arrives as
    the selection `cell` on the fields configuration and attack.
    """
    kinds = [kind for kind in KINDS if (frame["counts"] == kind).any()]
    order = list(dict.fromkeys(frame["configuration"]))
    rows = frame.assign(
        shown=frame["recovery"].clip(0, 1),
        told=[
            f"{r:z.2f}" if s == KNOWN else "" if s == MISSING else s
            for r, s in zip(frame["recovery"], frame["state"], strict=True)
        ],
        kind=[TITLES[kind] for kind in frame["counts"]],
    )
    tooltip = [
        alt.Tooltip("configuration:N"),
        alt.Tooltip("label:N", title="attack"),
        alt.Tooltip("state:N"),
        alt.Tooltip("recovery:Q", format=".3f"),
        alt.Tooltip("recovery_low:Q", title="low", format=".3f"),
        alt.Tooltip("recovery_high:Q", title="high", format=".3f"),
        alt.Tooltip("reason:N"),
    ]
    labels = list(dict.fromkeys(frame.sort_values("counts", key=lambda c: c.map(KINDS.index), kind="stable")["label"]))  # fmt: skip
    base = alt.Chart(rows).encode(
        x=alt.X(
            "label:N",
            sort=labels,
            title=None,
            axis=alt.Axis(labelAngle=-50, orient="top", labelLimit=170, labelOverlap=False),
        ),  # fmt: skip
        y=alt.Y("configuration:N", sort=order, title=None, axis=alt.Axis(labelLimit=320)),
        tooltip=tooltip,
    )
    pick = alt.selection_point(name="cell", fields=["configuration", "attack"])
    scale = alt.Scale(scheme="viridis", domain=[0, 1])
    legend = alt.Legend(title="Recovery (oracle = 0, base = 1)", orient="bottom", format=".1f", gradientLength=240)  # fmt: skip
    known = base.transform_filter(f"datum.state == '{KNOWN}'")
    rect = known.mark_rect(stroke="#ffffff", strokeWidth=0.5).encode(color=alt.Color("shown:Q", scale=scale, legend=legend))  # fmt: skip
    blank = base.transform_filter(f"datum.state != '{KNOWN}'").mark_rect(
        fillOpacity=0.06, fill=ANCHOR[theme], stroke=ANCHOR[theme], strokeOpacity=0.4, strokeDash=[2, 3]
    )  # fmt: skip
    dark = f"datum.state == '{KNOWN}' && datum.shown > 0.6"
    light = f"datum.state == '{KNOWN}'"
    inks = [{"test": dark, "value": "black"}, {"test": light, "value": "white"}]
    ink = alt.ColorValue(ANCHOR[theme], condition=inks)
    text = base.mark_text(fontSize=10).encode(text=alt.Text("told:N"), color=ink)
    rule = _borders(frame, labels, kinds, theme)
    cells = _drawn(frame, blank, rect)
    high = max(90, 28 * len(order))
    return layered(cells[0].add_params(pick), *cells[1:], text, *rule, height=high, usermeta=SVG)


def _drawn(frame: pd.DataFrame, blank: Any, rect: Any) -> list[Any]:
    """The layers that have cells: an empty one would be an image without a name."""
    known = frame["state"] == KNOWN
    return [rect] if known.all() else [blank, rect] if known.any() else [blank]


def _borders(frame: pd.DataFrame, labels: list[str], kinds: Sequence[str], theme: str) -> list[Any]:
    """A line between the kinds of attacks."""
    kind_of = dict(zip(frame["label"], frame["counts"], strict=True))
    last = {kind_of[label]: label for label in labels}  # the last one of every kind
    if len(kinds) < 2:
        return []
    ends = pd.DataFrame({"label": [last[kind] for kind in kinds[:-1]]})
    return [
        alt.Chart(ends)
        .mark_rule(strokeWidth=2.5, color=ANCHOR[theme], opacity=0.8)
        .encode(x=alt.X("label:N", sort=labels, bandPosition=1))
    ]


def roc_chart(frame: pd.DataFrame, theme: str = "light") -> Any:
    """ROC curves of one membership attack, one line a configuration, the diagonal as chance; `frame` as `roc` gives it."""
    names = list(dict.fromkeys(frame["name"]))
    legend = alt.Legend(symbolType="stroke", symbolSize=300, symbolStrokeWidth=2.2, labelLimit=280)
    x = alt.X("fpr:Q", title="False positive rate: never-seen items taken for forget items", axis=axis(), scale=alt.Scale(domain=[0, 1]))  # fmt: skip
    y = alt.Y("tpr:Q", title="True positive rate", axis=axis(), scale=alt.Scale(domain=[0, 1]))
    line = (
        alt.Chart(frame)
        .mark_line(interpolate="linear", strokeWidth=2)
        .encode(
            x=x,
            y=y,
            order=alt.Order("fpr:Q"),
            color=alt.Color("name:N", scale=colours(names), title="Model (AUC)", legend=legend),
            strokeDash=alt.StrokeDash("name:N", scale=dashes(names), title="Model (AUC)", legend=legend),
            tooltip=[alt.Tooltip("name:N"), alt.Tooltip("fpr:Q", format=".3f"), alt.Tooltip("tpr:Q", format=".3f")],
        )
    )  # fmt: skip
    chance = (
        alt.Chart(pd.DataFrame({"fpr": [0, 1], "tpr": [0, 1]}))
        .mark_line(color=ANCHOR[theme], strokeDash=[3, 4], strokeWidth=1)
        .encode(x=x, y=y)
    )
    return layered(chance, line, height=380, usermeta=SVG)


def place_chart(frame: pd.DataFrame, word: str, title: str) -> Any:
    """A value by layer or token, one line a configuration (mean over seeds); `frame` as `by_place` gives it."""
    names = list(dict.fromkeys(frame["configuration"]))
    legend = alt.Legend(symbolType="stroke", symbolSize=300, symbolStrokeWidth=2.2, labelLimit=280)
    places = sorted(int(place) for place in set(frame["place"]))
    base = alt.Chart(frame).encode(
        x=alt.X("place:O", title=word.capitalize(), sort=places, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("mean(value):Q", title=title, axis=axis()),
        color=alt.Color("configuration:N", scale=colours(names), title="Configuration", legend=legend),
        tooltip=[alt.Tooltip("configuration:N"), alt.Tooltip("place:O"), alt.Tooltip("mean(value):Q", format=".3f")],
    )  # fmt: skip
    line = base.mark_line(strokeWidth=2, point=True).encode(
        strokeDash=alt.StrokeDash(
            "configuration:N", scale=dashes(names), title="Configuration", legend=legend
        )
    )
    return line.properties(height=320, usermeta=SVG)
