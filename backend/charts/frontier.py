"""The frontier: configurations on any two objectives, the third as size, and the staircase of the undominated."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from backend.charts.theme import (
    ANCHOR,
    ANCHOR_SHAPES,
    DIRECTIONS,
    GROUND,
    NAMES,
    SVG,
    axis,
    colours,
    shapes,
    title_of,
)

ANCHORS = ("base", "oracle")
COMPETITOR = "datum.method != 'base' && datum.method != 'oracle'"
LEGEND_ROWS = 14  # methods that fit below each other beside the picture
# Undominated configurations that are named with the parameters that tell them apart.
NAMED_IN_FULL = 8
PARAMETERS = re.compile(r"(.*?)(?: \(([^()]*)\))?")  # of a stage in a configuration's name
COMPLETE, HOLLOW = "complete", "attack cells missing"


def drawn(frame: pd.DataFrame, x: str, y: str, size: str) -> pd.DataFrame:
    """The rows that have a place in the picture.

    Where attack cells are missing the robust forget quality so far takes its place and `kind` says so (a hollow
    point). The oracle stands at 1 by definition where its band is unknown.
    """
    rows = frame.copy()
    rows["kind"] = np.where(rows["complete"].astype(bool), COMPLETE, HOLLOW)
    rows["cells"] = rows["cells_done"].astype(str) + " of " + rows["cells_total"].astype(str)
    rows["family"] = [family(name) for name in rows["configuration"]]
    for name in {x, y, size, *NAMES} & set(rows):
        rows[name] = pd.to_numeric(rows[name], errors="coerce")
    robust = "robust_forget_quality"
    open_rows = rows[robust].isna() & (rows["kind"] == HOLLOW)
    rows.loc[open_rows, robust] = pd.to_numeric(rows.loc[open_rows, "robust_so_far"])
    by_definition = rows[robust].isna() & (rows["method"] == "oracle")
    rows.loc[by_definition, robust] = 1.0
    rows = rows.dropna(subset=[x, y])
    # A missing third objective is drawn as the smallest size and said in the tooltip, never as a zero.
    smallest = rows[size].min()
    rows["sized"] = rows[size].fillna(0.0 if pd.isna(smallest) else smallest)
    return rows


def family(label: str) -> str:
    """The readable name of a configuration's method: its last stage without parameters."""
    return label.rpartition(" → ")[2].partition(" (")[0]


def told_apart(labels: Iterable[str]) -> dict[str, str]:
    """Each configuration's name without the parameters that all configurations share wherever they have that stage."""
    stages = {label: [_parameters(stage) for stage in label.split(" → ")] for label in labels}
    common: dict[str, set[str]] = {}
    for found in stages.values():
        for head, told in found:
            common[head] = common[head] & set(told) if head in common else set(told)
    return {
        label: " → ".join(_written(head, [one for one in told if one not in common[head]]) for head, told in found)
        for label, found in stages.items()
    }  # fmt: skip


def _parameters(stage: str) -> tuple[str, list[str]]:
    """A stage's label, and what is written in the parentheses behind it."""
    found = PARAMETERS.fullmatch(stage)
    head, told = found.groups() if found else (stage, None)
    return head, told.split(", ") if told else []


def _written(head: str, told: Sequence[str]) -> str:
    return f"{head} ({', '.join(told)})" if told else head


def front(frame: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """The undominated configurations in these two objectives alone, by x; anchors and hollow points left out."""
    rows = frame[~frame["method"].isin(ANCHORS) & frame["complete"].astype(bool)]
    rows = rows.dropna(subset=[x, y])
    signs = [-1.0 if DIRECTIONS.get(name) == "down" else 1.0 for name in (x, y)]
    points = rows[[x, y]].to_numpy(dtype=float) * signs
    kept = [
        not any((other >= point).all() and (other > point).any() for other in points)
        for point in points
    ]
    return rows[np.array(kept, dtype=bool)].sort_values([x, y]) if len(rows) else rows


def step_of(x: str) -> Any:
    """Which staircase bounds what the front dominates, drawn from small to large x.

    Where a larger x is better, a point dominates everything to its left at its height: the line keeps the height of the
    next point until it gets there (`step-before`). Where a smaller x is better it is the other way round.
    """
    return "step-after" if DIRECTIONS.get(x) == "down" else "step-before"


def staircase(
    frame: pd.DataFrame,
    x: str,
    y: str,
    across: tuple[float, float],
    along: tuple[float, float],
) -> pd.DataFrame:
    """The line's points, columns x and y, from edge to edge of what is drawn: what lies behind it is dominated."""
    rows = front(frame, x, y)
    if rows.empty:
        return pd.DataFrame({x: [], y: []})
    points = rows[[x, y]].to_numpy(dtype=float).tolist()
    worst = along[0] if DIRECTIONS.get(y) != "down" else along[1]
    if DIRECTIONS.get(x) == "down":
        ends = [[points[0][0], worst], [across[1], points[-1][1]]]
    else:
        ends = [[across[0], points[0][1]], [points[-1][0], worst]]
    return pd.DataFrame([ends[0], *points, ends[1]], columns=[x, y])


def domain(rows: pd.DataFrame, name: str) -> tuple[float, float]:
    """What an axis shows: every point with its interval, and a little room."""
    ends = [f"{name}{end}" for end in ("", "_low", "_high") if f"{name}{end}" in rows]
    values = rows[ends].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float).ravel()
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    room = 0.06 * (high - low) or 0.05
    return low - room, high + room


def frontier_chart(
    frame: pd.DataFrame,
    x: str = "utility",
    y: str = "robust_forget_quality",
    size: str = "compute",
    selected: Collection[str] = (),
    theme: str = "light",
) -> Any:
    """The frontier of a frame as `backend.frontier.frame` makes it.

    Clicks arrive as the selection `pick` on the field `configuration`; `selected` configurations are ringed. The
    staircase bounds what is dominated in these two objectives.
    """
    anchor = str(frame["anchor"].iloc[0]) if len(frame) else "oracle"
    rows = drawn(frame, x, y, size)
    across, along = domain(rows, x), domain(rows, y)
    kept = front(rows, x, y)
    names = list(dict.fromkeys(rows.loc[~rows["method"].isin(ANCHORS), "family"]))
    axes: dict[str, Any] = {
        "x": _axis(alt.X, x, across, anchor),
        "y": _axis(alt.Y, y, along, anchor),
    }
    layers = [
        *_crosses(rows, x, y, axes, names),
        _line(staircase(rows, x, y, across, along), x, axes),
        *_labels(axes, theme),
        *_anchors(axes, theme),
        _rings(axes, theme),
        _points(axes, size, names),
    ]
    rows["selected"] = rows["configuration"].isin(list(selected))
    named = np.where(rows[x] < sum(across) / 2, "left", "right")
    rows["label"] = np.where(rows["configuration"].isin(kept["configuration"]), named, "")
    short = told_apart(rows["configuration"])
    rows["named"] = (
        rows["configuration"].map(short) if len(kept) <= NAMED_IN_FULL else rows["family"]
    )
    data = rows[[name for name in rows if name in _drawn_columns(x, y, size)]]
    return alt.layer(*layers, data=data).properties(height=460, usermeta=SVG)


def _drawn_columns(*axes: str) -> set[str]:
    """What the layers read: every other column would be written into the picture's data as well."""
    ends = {f"{name}{end}" for name in axes for end in ("", "_low", "_high")}
    told = {"configuration", "method", "family", "kind", "sized", "selected", "label", "named"}
    return ends | told | {str(tip.shorthand).partition(":")[0] for tip in _tooltip()}


def _axis(channel: Any, name: str, limits: tuple[float, float], anchor: str) -> Any:
    scale = alt.Scale(domain=list(limits), nice=False, zero=False)
    return channel(f"{name}:Q", title=title_of(name, anchor), scale=scale, axis=axis())


def method_colour(names: Sequence[str]) -> alt.Color:
    """The colour of a method; one definition, so that all layers share one legend in full colour."""
    return alt.Color("family:N", scale=colours(names), title="Method", legend=_legend(names))


def _legend(names: Sequence[str]) -> alt.Legend:
    """All methods, in as many columns as the picture's height asks for."""
    columns = -(-len(names) // LEGEND_ROWS) or 1
    return alt.Legend(symbolOpacity=1, columns=columns, symbolLimit=0)


def _crosses(
    rows: pd.DataFrame, x: str, y: str, axes: Mapping[str, Any], names: Sequence[str]
) -> list[Any]:
    """Error crosses: the intervals over seeds where there are any; the references have none."""
    base = alt.Chart().mark_rule(opacity=0.65, strokeWidth=1.2).encode(color=method_colour(names))
    found = []
    for name, channel, other in ((x, "x", "y"), (y, "y", "x")):
        if f"{name}_low" not in rows:
            continue
        start = axes[channel].copy()
        start.shorthand = f"{name}_low:Q"
        ends = {channel: start, f"{channel}2": f"{name}_high:Q", other: axes[other]}
        known = f"isValid(datum['{name}_low']) && {COMPETITOR}"
        found.append(base.transform_filter(known).encode(**ends))
    return found


def _line(points: pd.DataFrame, x: str, axes: Mapping[str, Any]) -> Any:
    points = points.assign(position=range(len(points)))
    mark = alt.Chart(points).mark_line(
        interpolate=step_of(x), strokeDash=[5, 3], color="#888888", strokeWidth=1.5
    )
    return mark.encode(**axes, order=alt.Order("position:Q"))


def _anchors(axes: Mapping[str, Any], theme: str) -> list[Any]:
    """Base and oracle: references, in no method's colour."""
    found = []
    for name, shape in ANCHOR_SHAPES.items():
        mark = alt.Chart().transform_filter(f"datum.method == '{name}'").encode(**axes)
        # Fixed shapes: an encoding would share the methods' scale and change their shapes.
        style: dict[str, Any] = {"filled": True, "opacity": 1, "color": ANCHOR[theme]}
        described = {"description": alt.Description("configuration:N"), "tooltip": _tooltip()}
        found.append(mark.mark_point(shape=shape, size=200, **style).encode(**described))
        above = -16 if name == "oracle" else 18
        text = mark.mark_text(dy=above, color=ANCHOR[theme], fontWeight="bold")
        found.append(text.encode(text="configuration:N"))
    return found


def _labels(axes: Mapping[str, Any], theme: str) -> list[Any]:
    """Names of the undominated points only, each towards the middle and on a halo: more would cover each other."""
    found = []
    for side, shift in (("left", 12), ("right", -12)):
        here = alt.Chart().transform_filter(f"datum.label == '{side}'")
        text = here.encode(**axes, text="named:N")
        place: dict[str, Any] = {"dx": shift, "dy": -11, "fontSize": 11, "align": side}
        ground = GROUND[theme]
        found.append(text.mark_text(**place, color=ground, stroke=ground, strokeWidth=3))
        found.append(text.mark_text(**place, color=ANCHOR[theme]))
    return found


def _rings(axes: Mapping[str, Any], theme: str) -> Any:
    ring = alt.Chart().transform_filter("datum.selected")
    return ring.mark_point(size=620, strokeWidth=2.5, color=ANCHOR[theme]).encode(**axes)


def _points(axes: Mapping[str, Any], size: str, names: Sequence[str]) -> Any:
    pick = alt.selection_point(name="pick", fields=["configuration"], toggle="event.shiftKey")
    return (
        alt.Chart()
        .transform_filter(COMPETITOR)
        .mark_point(strokeWidth=2, opacity=1)
        .encode(
            **axes,
            color=method_colour(names),
            shape=alt.Shape("family:N", scale=shapes(names), title="Method", legend=_legend(names)),
            fill=alt.condition(
                f"datum.kind == '{COMPLETE}'",
                alt.Color("family:N").scale(colours(names)),
                alt.value("transparent"),
            ),
            size=alt.Size("sized:Q")
            .scale(range=[60, 380], zero=False)
            .legend(tickCount=4, symbolType="circle")
            .title(NAMES.get(size, size).capitalize()),
            description=alt.Description("configuration:N"),
            tooltip=_tooltip(),
        )
        .add_params(pick)
    )


def _tooltip() -> list[alt.Tooltip]:
    numbers = [alt.Tooltip(f"{name}:Q", title=NAMES[name], format=".3f") for name in NAMES]
    return [
        alt.Tooltip("configuration:N"),
        *numbers,
        alt.Tooltip("robust_so_far:Q", title="robust so far", format=".3f"),
        alt.Tooltip("cells:N", title="attack cells"),
        alt.Tooltip("worst_attack:N", title="worst attack"),
        alt.Tooltip("seeds:Q"),
        alt.Tooltip("grid_size:Q", title="attack grid"),
        alt.Tooltip("budget:Q", title="attack steps"),
        alt.Tooltip("weak_evidence:N", title="weak evidence"),
    ]


def caption(frame: pd.DataFrame) -> str:
    """A few sentences that are true of the frame: who is undominated, who hides, what is missing."""
    rows = frame[~frame["method"].isin(ANCHORS)] if len(frame) else frame
    if rows.empty:
        return "No configuration has a number yet."
    known = rows[rows["on_front"].notna()]
    sentences = []
    if len(known):
        kept = int(known["on_front"].astype(bool).sum())
        noun, verb = "configuration" if len(known) == 1 else "configurations", "are"
        sentences.append(
            f"{kept} of {len(known)} complete {noun} {'is' if kept == 1 else verb} non-dominated"
            " in robust forget quality, utility and compute."
        )
        sentences.append(_hider(known))
    open_rows = len(rows) - len(known)
    if open_rows:
        sentences.append(
            f"{open_rows} {'is' if open_rows == 1 else 'are'} not compared: a number is missing."
        )
    if int(rows["seeds"].iloc[0]) == 1:
        sentences.append("1 seed: no intervals.")
    return " ".join(sentence for sentence in sentences if sentence)


def _hider(known: pd.DataFrame) -> str:
    """Who claims most beyond what stays, if anybody does by a fifth of the scale."""
    drop = (known["claimed_forget_quality"] - known["robust_forget_quality"]).astype(float)
    if not drop.notna().any() or drop.max() < 0.2:
        return ""
    row = known.iloc[int(np.nanargmax(drop))]
    return (
        f"{row['configuration']} claims {row['claimed_forget_quality']:.2f} and keeps"
        f" {row['robust_forget_quality']:.2f} after the attack."
    )
