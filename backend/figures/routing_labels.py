"""Gradient Routing's triptych: what is claimed, what lasts and what it costs as fewer items are labelled."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from backend.anchors import ANCHORS
from backend.charts.axes import ARROWS
from backend.charts.figure_panels import lines_panel
from backend.charts.labels import series
from backend.charts.naming import told_apart
from backend.charts.theme import ANCHOR
from backend.figure_views import Drawn, Material

TITLE = "How many labels does it take?"
SOURCE = "Cloud et al. 2024, Gradient Routing (arXiv 2410.04332): forgetting, robust forgetting and retention by the share of labelled items"
PLACE = 50
QUALITIES = {
    "claimed_forget_quality": (
        "Claimed forget quality",
        ["Claimed forget quality (↑)", "before any attack"],
    ),
    "robust_forget_quality": (
        "Robust forget quality",
        ["Robust forget quality (↑)", "after the strongest attack"],
    ),
    "utility": ("Utility", ["Utility (↑)", "base = 1"]),
}


def draw(material: Material) -> Drawn | str:
    """Claimed and robust forget quality (the raw forget metric where they are not defined) and utility, a line a recipe."""
    rows = series(material.frame) if len(material.frame) else pd.DataFrame()
    if rows.empty:
        return "It takes a recipe with several label fractions (label_fraction = [0.01, 0.1, 1])."
    wanted = _wanted(material, rows)
    frame = _long(rows, wanted)
    if frame.empty:
        return "No configuration with a label fraction is measured yet."
    names = list(dict.fromkeys(frame["line"]))
    panels = [_panel(material, frame, names, *about) for about in wanted.items()]
    caption = _caption(material, frame, wanted)
    return Drawn(frame, caption, panels=panels, across=3)


def _wanted(
    material: Material, rows: pd.DataFrame
) -> dict[str, tuple[str, list[str], dict[str, tuple[Any, Any, Any]]]]:
    """Panel by column: (title, axis title, configuration → (mean, low, high)); raw values where nothing is defined."""
    known = {name: rows[name].notna().any() for name in QUALITIES}
    if known["claimed_forget_quality"] and known["robust_forget_quality"]:
        return {name: (*told, _column(material.frame, name)) for name, told in QUALITIES.items()}
    axis = material.axis("forget")
    label = f"Forget {material.whole['reference']['forget_label']} ({ARROWS[axis.better]})"
    return {
        "before": ("Before the attack", [label, "before any attack"], _column(material.frame, axis.name)),
        "after": ("After the attack", [label, "after the attack"], _after(material)),
        "utility": (*QUALITIES["utility"], _column(material.frame, "utility")),
    }  # fmt: skip


def _column(frame: pd.DataFrame, name: str) -> dict[str, tuple[Any, Any, Any]]:
    if name not in frame:
        return {}
    ends = (frame[column] for column in (name, f"{name}_low", f"{name}_high"))
    return dict(zip(frame["configuration"], zip(*ends, strict=True), strict=True))


def _after(material: Material) -> dict[str, tuple[Any, Any, Any]]:
    """The forget metric at the largest step of the attack, the worst case over the grid: mean, lowest and highest seed."""
    worst = material.drawn_worst()
    last = worst[worst["step"] == worst["step"].max()].groupby("configuration")["score"]
    return {str(name): (one.mean(), one.min(), one.max()) for name, one in last}


def _long(rows: pd.DataFrame, wanted: Mapping[str, Any]) -> pd.DataFrame:
    """One row a panel, recipe and share: panel, line, configuration, label_fraction, mean, low, high."""
    short = told_apart(rows["series"])
    found = []
    for name, (_, _, values) in wanted.items():
        for label, line, share in zip(rows["configuration"], rows["series"], rows["label_fraction"], strict=True):  # fmt: skip
            mean, low, high = values.get(label, (None, None, None))
            if mean is not None and not pd.isna(mean):
                alone = low is None or pd.isna(low)
                ends = (mean, mean) if alone else (low, high)
                found.append({"panel": name, "line": short[line], "configuration": label, "label_fraction": share, "mean": mean, "low": ends[0], "high": ends[1]})  # fmt: skip
    return pd.DataFrame(found)


def _panel(
    material: Material,
    frame: pd.DataFrame,
    names: Sequence[str],
    name: str,
    about: tuple[str, list[str], dict[str, tuple[Any, Any, Any]]],
) -> Any:
    title, axis_title, values = about
    mine = frame[frame["panel"] == name]
    known = sorted(set(frame["label_fraction"]))
    x = alt.X(
        "label_fraction:Q",
        title="Share of the forget items that are labelled",
        scale=alt.Scale(type="log", nice=False, padding=12),
        axis=alt.Axis(values=known, format="~g", labelOverlap=True),
    )
    panel = lines_panel(
        mine, names, x=x, y_title=axis_title, title=title, called="Recipe",
        theme=material.theme, columns=1, points=True,
    )  # fmt: skip
    return panel + _references(material, values) if _anchors(material, values) else panel


def _anchors(material: Material, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = [row for row in material.rows if row["method"] in ANCHORS]
    told = [{"told": row["method"].capitalize(), "mean": values.get(row["configuration"], (None,))[0]} for row in rows]  # fmt: skip
    return [one for one in told if one["mean"] is not None and not pd.isna(one["mean"])]


def _references(material: Material, values: Mapping[str, Any]) -> Any:
    rows = pd.DataFrame(_anchors(material, values))
    base = alt.Chart(rows).encode(
        y=alt.Y("mean:Q"), tooltip=[alt.Tooltip("told:N"), alt.Tooltip("mean:Q")]
    )
    colour = ANCHOR[material.theme]
    layers: list[Any] = [base.mark_rule(strokeDash=[4, 4], color=colour)]
    # Few labels forget little and many much: the base's name has room on the right, the oracle's on the left.
    sides: Any = (("Base", "right", -3), ("Oracle", "left", 3))
    for name, side, dx in sides:
        words = base.transform_filter(f"datum.told == '{name}'")
        words = words.mark_text(align=side, baseline="bottom", dx=dx, dy=-2, color=colour)
        layers.append(
            words.encode(x=alt.XValue("width" if side == "right" else 0), text=alt.Text("told:N"))
        )
    return alt.layer(*layers)


def _caption(material: Material, frame: pd.DataFrame, wanted: Mapping[str, Any]) -> str:
    words = []
    second = list(wanted)[1]
    for line, mine in frame[frame["panel"] == second].groupby("line", sort=False):
        ends = mine.sort_values("label_fraction").iloc[[0, -1]]
        told = " and ".join(f"{row['mean']:.2f} with {row['label_fraction']:g}" for _, row in ends.iterrows())  # fmt: skip
        words.append(f"{line}: {told} of the labels.")
    raw = "" if "robust_forget_quality" in wanted else " Forget quality is not defined here, so the raw forget metric is drawn."  # fmt: skip
    band = "" if material.seeds == 1 else "; bands are 95 % intervals over them" if not raw else "; bands are intervals or ranges over them"  # fmt: skip
    return f"{wanted[second][0]}. {' '.join(words)}{raw} Means over {material.seeds_told()}{band}."
