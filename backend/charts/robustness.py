"""What attacks bring back: curves along their steps, claimed against robust, robustness against compute."""

import re
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from backend.anchors import ANCHORS, competing
from backend.charts.families import Families, families
from backend.charts.frontier import method_colour
from backend.charts.layers import layered
from backend.charts.naming import family
from backend.charts.staircase import front
from backend.charts.theme import ANCHOR, PLACED, STAR, SVG, axis, colours, dashes, shapes, title_of

WORST = "worst case"
SO_FAR = "worst case so far"
REFERENCE = "datum.method == 'base' || datum.method == 'oracle'"


def _by_last_score(curves: pd.DataFrame) -> list[str]:
    """Configurations in the order in which their lines end, highest first: the legend's order."""
    last = curves[curves["step"] == curves["step"].max()]
    means = last.groupby("configuration")["score"].mean().sort_values(ascending=False)
    rest = [name for name in dict.fromkeys(curves["configuration"]) if name not in means.index]
    return [str(name) for name in means.index] + rest


def relearning_chart(curves: pd.DataFrame, metric: str = "accuracy", theme: str = "neutral") -> Any:
    """Worst case A_m(t) of every configuration, mean and range over seeds; base and oracle as grey references.

    `curves` is what `backend.frontier.relearning_curves` gives; configurations with missing cells are left out.
    """
    worst = curves[curves["cell"] == WORST]
    order = _by_last_score(worst)
    methods = dict(zip(worst["configuration"], worst["method"], strict=True))
    plain = [name for name in order if methods[name] not in ANCHORS]
    palette = dict(zip(plain, colours(plain).range, strict=True))  # type: ignore[arg-type]
    scale = alt.Scale(domain=order, range=[palette.get(name, ANCHOR[theme]) for name in order])
    lines = dict(zip(plain, dashes(plain).range, strict=True))  # type: ignore[arg-type]
    dash = alt.Scale(domain=order, range=[lines.get(name, [1, 0]) for name in order])
    legend = alt.Legend(
        symbolType="stroke", symbolStrokeWidth=2.5, symbolSize=300, symbolOpacity=1, labelLimit=280
    )
    base = alt.Chart(worst).encode(
        x=alt.X("step:Q", title="Attack steps", axis=axis(), scale=alt.Scale(nice=False)),
        color=alt.Color(
            "configuration:N", scale=scale, title="Configuration", sort=order, legend=legend
        ),
    )
    pick = alt.selection_point(name="line", fields=["configuration"], bind="legend")
    title = f"Forget {metric} on the score part, worst case over the grid"
    shown = alt.OpacityValue(0.12, condition=[{"param": pick.name, "value": 1}])
    line = base.mark_line().encode(
        y=alt.Y("mean(score):Q", title=title, axis=axis()),
        strokeDash=alt.StrokeDash(
            "configuration:N", scale=dash, title="Configuration", sort=order, legend=legend
        ),
        opacity=shown,
        strokeWidth=alt.StrokeWidthValue(2, condition={"test": REFERENCE, "value": 3.5}),
        detail=alt.Detail("method:N"),
        tooltip=[
            alt.Tooltip("configuration:N"),
            alt.Tooltip("step:Q"),
            alt.Tooltip("mean(score):Q", format=".3f"),
        ],
    )
    seeds = worst["seed"].nunique()
    layers = [line.add_params(pick)]
    if seeds > 1:
        faint = alt.OpacityValue(0.01, condition=[{"param": pick.name, "value": 0.1}])
        layers.insert(
            0,
            base.mark_area().encode(
                y=alt.Y("min(score):Q"), y2=alt.Y2("max(score):Q"), opacity=faint
            ),
        )
    layers.append(_reference_names(worst, theme))
    return layered(*layers, height=420, usermeta=SVG)


def _reference_names(worst: pd.DataFrame, theme: str) -> Any:
    """The words Base and Oracle at the ends of their lines, which share one grey."""
    chosen = ~competing(worst) & (worst["step"] == worst["step"].max())
    ends = worst[chosen].groupby(["configuration", "step"])["score"].mean().reset_index()
    text = alt.Chart(ends).mark_text(
        align="right", dx=-4, dy=10, fontWeight="bold", color=ANCHOR[theme], style=PLACED
    )
    return text.encode(x=alt.X("step:Q"), y=alt.Y("score:Q"), text=alt.Text("configuration:N"))


def cells_chart(curves: pd.DataFrame, metric: str = "accuracy") -> Any:
    """Every cell of the grid for one configuration: means over seeds, thin lines single seeds, the worst case on top."""
    names = [name for name in dict.fromkeys(curves["cell"]) if name not in (WORST, SO_FAR)]
    base = alt.Chart(curves).encode(
        x=alt.X("step:Q", title="Attack steps", axis=axis(), scale=alt.Scale(nice=False)),
        tooltip=[
            alt.Tooltip("cell:N"),
            alt.Tooltip("step:Q"),
            alt.Tooltip("mean(score):Q", format=".3f"),
        ],
    )
    title = f"Forget {metric} on the score part"
    mean = alt.Y("mean(score):Q", title=title, axis=axis())
    cells = base.transform_filter(alt.FieldOneOfPredicate(field="cell", oneOf=names))
    told = "Grid cell (mean over seeds)"
    legend = alt.Legend(
        symbolType="stroke", symbolSize=300, symbolOpacity=1, symbolStrokeWidth=2.2, labelLimit=320
    )
    colour = alt.Color("cell:N", scale=colours(names), title=told, legend=legend)
    dash = alt.StrokeDash("cell:N", scale=dashes(names), title=told, legend=legend)
    thin = cells.mark_line(opacity=0.25, strokeWidth=1).encode(
        y=alt.Y("score:Q", title=title),
        color=colour,
        detail=alt.Detail("seed:N"),
        tooltip=[alt.Tooltip("cell:N"), alt.Tooltip("seed:N")],
    )
    worst = base.transform_filter(alt.FieldOneOfPredicate(field="cell", oneOf=[WORST, SO_FAR]))
    top = worst.mark_line(color="#888888", strokeWidth=7, opacity=0.35).encode(y=mean)
    bold = cells.mark_line(strokeWidth=2.2).encode(y=mean, color=colour, strokeDash=dash)
    layers = [top, bold] if curves["seed"].nunique() < 2 else [top, thin, bold]
    return layered(*layers, height=300, usermeta=SVG)


def grid_chart(curves: pd.DataFrame, metric: str = "accuracy") -> Any:
    """Which learning rate breaks which configuration: the last step's score as a heat map, mean over seeds."""
    cells = curves[~curves["cell"].isin([WORST, SO_FAR])]
    keys = ["configuration", "cell"]
    ends = cells.groupby([*keys, "seed"])["step"].transform("max")
    last = cells[cells["step"] == ends].groupby(keys, sort=False)["score"].mean().reset_index()
    names = list(dict.fromkeys(cells["cell"]))
    order = list(dict.fromkeys(cells["configuration"]))
    middle = (last["score"].max() + last["score"].min()) / 2 if len(last) else 0
    base = alt.Chart(last).encode(
        x=alt.X("cell:N", sort=names, title="Grid cell", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("configuration:N", sort=order, title=None, axis=alt.Axis(labelLimit=320)),
        tooltip=[
            alt.Tooltip("configuration:N"),
            alt.Tooltip("cell:N"),
            alt.Tooltip("score:Q", format=".3f"),
        ],
    )
    heat = base.mark_rect().encode(
        color=alt.Color("score:Q").scale(scheme="cividis").title(f"Forget {metric}, last step")
    )
    dark = {"test": f"datum.score > {middle}", "value": "black"}
    ink = alt.ColorValue("white", condition=dark)
    text = base.mark_text(fontSize=11).encode(text=alt.Text("score:Q", format=".2f"), color=ink)
    return layered(heat, text, height=max(90, 26 * len(order)), usermeta=SVG)


def dumbbell_chart(frame: pd.DataFrame) -> Any:
    """Claimed forget quality (hollow) against robust forget quality (filled), one line a configuration."""
    rows = frame.dropna(subset=["claimed_forget_quality", "robust_forget_quality"])
    order = rows.sort_values("robust_forget_quality")["configuration"].tolist()[::-1]
    base = alt.Chart(rows).encode(
        y=alt.Y("configuration:N", sort=order, title=None, axis=alt.Axis(labelLimit=320)),
        tooltip=[
            alt.Tooltip("configuration:N"),
            alt.Tooltip("claimed_forget_quality:Q", title="claimed", format=".3f"),
            alt.Tooltip("robust_forget_quality:Q", title="robust", format=".3f"),
            alt.Tooltip("robust_forget_quality_low:Q", title="robust, low", format=".3f"),
            alt.Tooltip("robust_forget_quality_high:Q", title="robust, high", format=".3f"),
        ],
    )
    title = "Forget quality (↑): ○ claimed, before any attack; ● robust, after the strongest attack"
    across = alt.X("robust_forget_quality:Q", title=title, axis=axis())
    rule = base.mark_rule(strokeWidth=3, opacity=0.5, color=ANCHOR["neutral"]).encode(
        x=across, x2=alt.X2("claimed_forget_quality")
    )
    interval = base.transform_filter("isValid(datum.robust_forget_quality_low)")
    wide = interval.mark_rule(strokeWidth=1.2, color="#0072B2").encode(
        x=alt.X("robust_forget_quality_low:Q", title=title),
        x2=alt.X2("robust_forget_quality_high"),
    )
    ends = [
        base.mark_point(size=120, filled=filled, opacity=1, strokeWidth=2, color="#0072B2").encode(
            x=alt.X(f"{name}:Q", title=title)
        )
        for name, filled in (("claimed_forget_quality", False), ("robust_forget_quality", True))
    ]
    height = max(90, 28 * len(rows))
    return layered(rule, wide, *ends, height=height, usermeta=SVG)


def _series(label: str) -> str:
    """A configuration's name without its α: points of one curve share it."""
    return re.sub(r"α [0-9.eE+-]+(, )?", "", label)


def compute_families(frame: pd.DataFrame, order: Sequence[str] = ()) -> Families:
    """Which methods `compute_chart` tells apart: of many those that are undominated in its two objectives or in all."""
    rows = frame.dropna(subset=["compute", "robust_forget_quality"])
    rows = rows[competing(rows)]
    kept = front(rows, "compute", "robust_forget_quality")
    return families(frame, rows["configuration"], (), kept["configuration"], order)


def compute_chart(frame: pd.DataFrame, theme: str = "light", order: Sequence[str] = ()) -> Any:
    """Robustness against compute, the α of UNDO along the curve, the oracle as a star at (1, 1).

    `order` is that of the methods' colours (see `families`).
    """
    anchor = str(frame["anchor"].iloc[0]) if len(frame) else "oracle"
    rows = frame.dropna(subset=["compute", "robust_forget_quality"])
    rows = rows[competing(rows)]
    methods = compute_families(frame, order)
    rows = rows.assign(
        family=methods.shown(family(name) for name in rows["configuration"]),
        series=[_series(name) for name in rows["configuration"]],
        # One α for all tells nothing apart.
        name=[
            f"α {a:g}" if pd.notna(a) and rows["alpha"].nunique() > 1 else "" for a in rows["alpha"]
        ],
    )
    axes = {
        "x": _padded(alt.X, "compute", anchor),
        "y": _padded(alt.Y, "robust_forget_quality", anchor),
    }
    rows = rows.iloc[(rows["family"] != methods.others).argsort(kind="stable")]  # grey lies below
    base = alt.Chart(rows).encode(**axes)
    curve = (
        base.transform_filter("isValid(datum.alpha)")
        .mark_line(color="#888888")
        .encode(order=alt.Order("alpha:Q"), detail=alt.Detail("series:N"))
    )
    points = base.mark_point(filled=True, size=120, opacity=1).encode(
        color=method_colour(methods),
        shape=alt.Shape(
            "family:N", scale=methods.shapes(), title="Method", legend=methods.legend()
        ),
        description=alt.Description("configuration:N"),
        tooltip=[
            alt.Tooltip("configuration:N"),
            alt.Tooltip("compute:Q", format=".3f"),
            alt.Tooltip("robust_forget_quality:Q", format=".3f"),
        ],
    )
    names = base.mark_text(dy=-12, dx=4, align="left", color=ANCHOR[theme], style=PLACED).encode(
        text=alt.Text("name:N")
    )
    crosses = _compute_crosses(rows, axes, methods)
    star = alt.Chart(pd.DataFrame({"compute": [1.0], "robust_forget_quality": [1.0]}))
    oracle = star.mark_point(shape=STAR, filled=True, opacity=1, size=220, color=ANCHOR[theme])
    text = star.mark_text(dy=-16, fontWeight="bold", color=ANCHOR[theme], style=PLACED).encode(
        **axes, text=alt.TextValue("Oracle")
    )
    layers = [curve, *crosses, points, names, oracle.encode(**axes), text]
    return layered(*layers, height=340, usermeta=SVG)


def _padded(channel: Any, name: str, anchor: str) -> Any:
    scale = alt.Scale(zero=True, nice=True, padding=16)
    return channel(f"{name}:Q", title=title_of(name, anchor), scale=scale, axis=axis())


def _compute_crosses(rows: pd.DataFrame, axes: dict[str, Any], methods: Families) -> list[Any]:
    base = alt.Chart(rows).mark_rule(opacity=0.45).encode(color=method_colour(methods))
    found = []
    for channel, other, end in (("x", "y", alt.X2), ("y", "x", alt.Y2)):
        start = axes[channel].copy()
        name = str(start.shorthand).removesuffix(":Q")
        start.shorthand = f"{name}_low:Q"
        ends = {channel: start, f"{channel}2": end(f"{name}_high"), other: axes[other]}
        found.append(base.transform_filter(f"isValid(datum.{name}_low)").encode(**ends))
    return found


def oracle_matching_chart(frame: pd.DataFrame) -> Any:
    """How much comes back from students of the oracle against how closely they imitate it.

    `frame` has the columns configuration, student, steps, kl, after (forget metric after the attack), seed.
    """
    students = sorted(frame["student"].unique())
    base = alt.Chart(frame).encode(
        x=alt.X(
            "kl:Q",
            title="KL from the oracle over all training questions (← closer)",
            scale=alt.Scale(type="log", padding=16),
            axis=axis(format="~g"),
        ),
        y=alt.Y("after:Q", title="Forget metric after the strongest attack (↓)", axis=axis()),
        color=alt.Color("student:N").scale(colours(students)).title("Student starts from"),
        detail=alt.Detail("seed:N"),
    )
    points = base.mark_point(filled=True, size=120, opacity=1).encode(
        shape=alt.Shape("student:N").scale(shapes(students)).title("Student starts from"),
        tooltip=[
            alt.Tooltip("configuration:N"),
            alt.Tooltip("steps:Q"),
            alt.Tooltip("seed:N"),
            alt.Tooltip("kl:Q", format=".4f"),
            alt.Tooltip("after:Q", format=".3f"),
        ],
    )
    text = base.mark_text(dy=-12, style=PLACED).encode(text=alt.Text("steps:Q"))
    lines = base.mark_line(opacity=0.5).encode(order=alt.Order("steps:Q"))
    return layered(lines, points, text, height=340, usermeta=SVG)
