"""The frontier: configurations on any two objectives, the third as size, and the staircase of the undominated."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from backend.anchors import competing
from backend.charts.axes import Axis, axis_of
from backend.charts.families import Families, families
from backend.charts.layers import layered
from backend.charts.naming import family, told_apart
from backend.charts.screen_names import PLACES, SHIFT, places
from backend.charts.staircase import domain, front, staircase, step_of
from backend.charts.theme import (
    ANCHOR,
    ANCHOR_SHAPES,
    GROUND,
    NAMES,
    PLACED,
    SVG,
    axis,
)
from backend.limits import Limits, feasible

COMPETITOR = "datum.method != 'base' && datum.method != 'oracle'"
# Undominated configurations that are named with the parameters that tell them apart.
NAMED_IN_FULL = 8
MANY = 60  # configurations, from which on points are small
COMPLETE, HOLLOW = "complete", "attack cells missing"
PALE = 0.25


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


def frontier_chart(
    frame: pd.DataFrame,
    x: str = "utility",
    y: str = "robust_forget_quality",
    size: str = "compute",
    selected: Collection[str] = (),
    theme: str = "light",
    *,
    axes: Mapping[str, Axis] | None = None,
    limits: Limits | None = None,
    bands: pd.DataFrame | None = None,
    interactive: bool = False,
    methods: Families | None = None,
) -> Any:
    """The frontier of a frame as `backend.frontier.frame` makes it.

    Clicks arrive as the selection `pick` on the field `configuration`; where it is `interactive`, drags arrive as `brush`,
    ranges of `x` and `y`, and names that would cover something are left out (figures for paper find their own places).
    `selected` configurations are ringed. The staircase bounds what is dominated in these two objectives by
    configurations that keep the `limits`; what does not keep them is shaded. `bands` are those of `attainment.bands`.
    `methods` are those that are told apart, as `coloured` finds them.
    """
    anchor = str(frame["anchor"].iloc[0]) if len(frame) else "oracle"
    limits = limits or Limits()
    rows = drawn(frame, x, y, size)
    rows["feasible"] = feasible(rows, limits)
    across, along = domain(rows, x), domain(rows, y)
    methods = methods or coloured(frame, x, y, size, selected, axes=axes, limits=limits)
    placed: dict[str, Any] = {
        "x": _axis(alt.X, axis_of(x, axes), across, anchor),
        "y": _axis(alt.Y, axis_of(y, axes), along, anchor),
    }
    rows["selected"] = rows["configuration"].isin(list(selected))
    _name_points(rows, x, y, (across, along), axes, interactive)
    rows["family"] = methods.shown(rows["family"])
    line = staircase(rows[rows["feasible"]], x, y, across, along, axes)
    layers = [
        *_shades(limits, x, y, across, along, placed),
        *_bands(bands, x, placed, methods, axes),
        *_crosses(rows, x, y, placed, methods),
        _line(line, x, placed, axes),
        *_labels(placed, theme, set(rows["label"])),
        *_anchors(placed, theme),
        *([_rings(placed, theme)] if rows["selected"].any() else []),
        _points(placed, axis_of(size, axes), methods, interactive, len(rows) <= MANY),
    ]
    # What is chosen lies on top, what is grey at the bottom.
    height = rows["selected"].astype(int) - (rows["family"] == methods.others)
    rows = rows.iloc[height.argsort(kind="stable")]
    data = rows[[name for name in rows if name in _drawn_columns(x, y, size)]]
    return layered(*layers, data=data, height=460, usermeta=SVG)


def coloured(
    frame: pd.DataFrame,
    x: str = "utility",
    y: str = "robust_forget_quality",
    size: str = "compute",
    selected: Collection[str] = (),
    *,
    axes: Mapping[str, Axis] | None = None,
    limits: Limits | None = None,
    order: Sequence[str] = (),
) -> Families:
    """Which methods the frontier tells apart: of many those that are chosen, or undominated in what is drawn or in all."""
    rows = drawn(frame, x, y, size)
    others = rows[competing(rows)]
    kept = front(rows[feasible(rows, limits or Limits())], x, y, axes)
    return families(frame, others["configuration"], selected, kept["configuration"], order)


def _name_points(
    rows: pd.DataFrame,
    x: str,
    y: str,
    edges: tuple[tuple[float, float], tuple[float, float]],
    axes: Mapping[str, Axis] | None,
    crowded: bool,
) -> None:
    """Give the undominated configurations and the chosen ones a name (`named`) with a place (`label`).

    Where it would be `crowded`, names without room get no place.
    """
    kept = front(rows[rows["feasible"]], x, y, axes)
    short = told_apart(rows["configuration"])
    in_full = len(kept) <= NAMED_IN_FULL
    rows["named"] = rows["configuration"].map(short) if in_full else rows["family"]
    rows["label"] = ""
    wanted = rows["configuration"].isin(kept["configuration"]) | rows["selected"]
    wanted &= competing(rows)
    if not in_full:  # the same word beside ten points says nothing more
        wanted &= rows["selected"] | ~rows["family"].where(wanted).duplicated()
    shares = [(rows[n] - low) / (high - low) for n, (low, high) in zip((x, y), edges, strict=True)]
    everywhere = np.array(shares, dtype=float).T
    here = wanted.to_numpy()
    found = places(everywhere[here], rows.loc[wanted, "named"].tolist(), everywhere)
    rows.loc[wanted, "label"] = found if crowded else [place or PLACES[0] for place in found]


def _drawn_columns(*axes: str) -> set[str]:
    """What the layers read: every other column would be written into the picture's data as well."""
    ends = {f"{name}{end}" for name in axes for end in ("", "_low", "_high")}
    told = {"configuration", "method", "family", "kind", "sized", "selected", "label", "named", "feasible"}  # fmt: skip
    return ends | told | {str(tip.shorthand).partition(":")[0] for tip in _tooltip()}


def _axis(channel: Any, shown: Axis, ends: tuple[float, float], anchor: str) -> Any:
    scale = alt.Scale(domain=list(ends), nice=False, zero=False)
    return channel(f"{shown.name}:Q", title=shown.title(anchor), scale=scale, axis=axis())


def _shades(
    limits: Limits,
    x: str,
    y: str,
    across: tuple[float, float],
    along: tuple[float, float],
    axes: Mapping[str, Any],
) -> list[Any]:
    """What does not keep the limits, where they are limits of what is drawn."""
    found = []
    for name, bound in vars(limits).items():
        above = name == "compute"
        for channel, shown, (low, high) in (("x", x, across), ("y", y, along)):
            if bound is None or name != shown:
                continue
            start, end = (bound, high) if above else (low, bound)
            if end > start:
                data = pd.DataFrame({shown: [max(start, low)], "end": [min(end, high)]})
                mark = alt.Chart(data).mark_rect(color="#888888", opacity=0.16)
                other = (alt.X2 if channel == "x" else alt.Y2)("end:Q")
                found.append(mark.encode(**{channel: axes[channel], f"{channel}2": other}))
    return found


def _bands(
    bands: pd.DataFrame | None,
    x: str,
    axes: Mapping[str, Any],
    methods: Families,
    known: Mapping[str, Axis] | None,
) -> list[Any]:
    """What all seeds attain, what one seed attains, and the area between."""
    if bands is None or bands.empty:
        return []
    low = axes["y"].copy()
    low.shorthand = "low:Q"
    bands = bands.assign(own=bands["family"], family=methods.shown(bands["family"]))
    base = alt.Chart(bands).encode(x=axes["x"], color=method_colour(methods), detail=alt.Detail("own:N"))  # fmt: skip
    area = base.mark_area(interpolate=step_of(x, known), opacity=0.18, clip=True)
    middle = axes["y"].copy()
    middle.shorthand = "median:Q"
    line = base.mark_line(interpolate=step_of(x, known), strokeWidth=1, opacity=0.7, clip=True)
    return [area.encode(y=low, y2=alt.Y2("high:Q")), line.encode(y=middle)]


def method_colour(methods: Families) -> alt.Color:
    """The colour of a method; one definition, so that all layers share one legend in full colour."""
    return alt.Color("family:N", scale=methods.colours(), title="Method", legend=methods.legend())


def _crosses(
    rows: pd.DataFrame, x: str, y: str, axes: Mapping[str, Any], methods: Families
) -> list[Any]:
    """Error crosses: the intervals over seeds where there are any; the references have none."""
    base = alt.Chart().mark_rule(opacity=0.65, strokeWidth=1.2).encode(color=method_colour(methods))
    found = []
    for name, channel, other, end in ((x, "x", "y", alt.X2), (y, "y", "x", alt.Y2)):
        if f"{name}_low" not in rows:
            continue
        start = axes[channel].copy()
        start.shorthand = f"{name}_low:Q"
        ends = {channel: start, f"{channel}2": end(f"{name}_high:Q"), other: axes[other]}
        known = f"isValid(datum['{name}_low']) && {COMPETITOR}"
        found.append(base.transform_filter(known).encode(**ends))
    return found


def _line(
    points: pd.DataFrame, x: str, axes: Mapping[str, Any], known: Mapping[str, Axis] | None
) -> Any:
    points = points.assign(position=range(len(points)))
    mark = alt.Chart(points).mark_line(
        interpolate=step_of(x, known), strokeDash=[5, 3], color="#888888", strokeWidth=1.5
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
        text = mark.mark_text(dy=above, color=ANCHOR[theme], fontWeight="bold", style=PLACED)
        found.append(text.encode(text=alt.Text("configuration:N")))
    return found


def _labels(axes: Mapping[str, Any], theme: str, taken: Collection[str]) -> list[Any]:
    """Names on a halo, each in the place that was found for it; `taken` are the places that are."""
    found = []
    for place in (place for place in PLACES if place in taken):
        side, height = place.split()
        here = alt.Chart().transform_filter(f"datum.label == '{place}'")
        text = here.encode(**axes, text=alt.Text("named:N"))
        shift = 12 if side == "left" else -12
        style: dict[str, Any] = {
            "dx": shift,
            "dy": SHIFT[height],
            "fontSize": 11,
            "align": side,
            "style": PLACED,
        }
        ground = GROUND[theme]
        found.append(text.mark_text(**style, color=ground, stroke=ground, strokeWidth=3))
        found.append(text.mark_text(**style, color=ANCHOR[theme]))
    return found


def _rings(axes: Mapping[str, Any], theme: str) -> Any:
    ring = alt.Chart().transform_filter("datum.selected")
    return ring.mark_point(size=620, strokeWidth=2.5, color=ANCHOR[theme]).encode(**axes)


def _points(axes: Mapping[str, Any], size: Axis, methods: Families, brush: bool, few: bool) -> Any:
    chosen = [alt.selection_point(name="pick", fields=["configuration"], toggle="event.shiftKey")]
    chosen += [alt.selection_interval(name="brush", encodings=["x", "y"])] if brush else []
    return (
        alt.Chart()
        .transform_filter(COMPETITOR)
        .mark_point(strokeWidth=2)
        .encode(
            **axes,
            color=method_colour(methods),
            shape=alt.Shape(
                "family:N", scale=methods.shapes(), title="Method", legend=methods.legend()
            ),
            fill=_filled(methods),
            size=alt.Size("sized:Q")
            .scale(range=[60, 380] if few else [25, 140], zero=False)
            .legend(tickCount=4, symbolType="circle")
            .title(size.label[:1].upper() + size.label[1:]),
            opacity=alt.OpacityValue(PALE, condition={"test": "datum.feasible", "value": 1}),
            description=alt.Description("configuration:N"),
            tooltip=_tooltip(),
        )
        .add_params(*chosen)
    )


def _filled(methods: Families) -> alt.FillValue:
    """Full where all attack cells are there, else hollow."""
    colour = {"field": "family", "type": "nominal", "scale": methods.colours()}
    full = {"test": f"datum.kind == '{COMPLETE}'", **colour}
    return alt.FillValue("transparent", condition=full)


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
