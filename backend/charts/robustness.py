"""What attacks bring back: curves along their steps, claimed against robust, robustness against compute."""

from typing import Any

import altair as alt
import pandas as pd

from backend.charts.theme import ANCHOR, SVG, TITLES, colours

WORST = "worst case"


def relearning_chart(curves: pd.DataFrame, metric: str = "accuracy") -> Any:
    """Worst case A_m(t) of every configuration, one line a configuration, mean and range over seeds.

    `curves` is what `backend.frontier.relearning_curves` gives.
    """
    worst = curves[curves["cell"] == WORST]
    names = list(dict.fromkeys(worst["configuration"]))
    base = alt.Chart(worst).encode(
        x=alt.X("step:Q").title("Attack steps"),
        color=alt.Color("configuration:N").scale(colours(names)).title("Configuration"),
    )
    pick = alt.selection_point(name="line", fields=["configuration"], bind="legend")
    line = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=18)).encode(
        y=alt.Y("mean(score):Q").title(f"Forget {metric} on the score part"),
        strokeDash=alt.StrokeDash("configuration:N").scale(domain=names).title("Configuration"),
        opacity=alt.when(pick).then(alt.value(1)).otherwise(alt.value(0.15)),
        tooltip=["configuration:N", "step:Q", alt.Tooltip("mean(score):Q", format=".3f")],
    )
    band = base.mark_area(opacity=0.12).encode(y="min(score):Q", y2="max(score):Q")
    return (band + line.add_params(pick)).properties(height=420, usermeta=SVG)


def cells_chart(curves: pd.DataFrame, metric: str = "accuracy") -> Any:
    """Every cell of the grid for one configuration, the worst case on top."""
    names = [name for name in dict.fromkeys(curves["cell"]) if name != WORST]
    base = alt.Chart(curves).encode(
        x=alt.X("step:Q").title("Attack steps"),
        y=alt.Y("score:Q").title(f"Forget {metric}"),
        detail="seed:N",
        tooltip=["cell:N", "seed:N", "step:Q", alt.Tooltip("score:Q", format=".3f")],
    )
    cells = base.transform_filter(f"datum.cell != '{WORST}'").mark_line(opacity=0.8)
    worst = base.transform_filter(f"datum.cell == '{WORST}'")
    top = worst.mark_line(color="#888888", strokeWidth=4, opacity=0.4)
    coloured = cells.encode(color=alt.Color("cell:N").scale(colours(names)).title("Grid cell"))
    return (top + coloured).properties(height=300, usermeta=SVG)


def dumbbell_chart(frame: pd.DataFrame) -> Any:
    """Claimed forget quality (hollow) against robust forget quality (filled), one line a configuration."""
    rows = frame.dropna(subset=["claimed_forget_quality", "robust_forget_quality"])
    order = rows.sort_values("robust_forget_quality")["configuration"].tolist()[::-1]
    base = alt.Chart(rows).encode(
        y=alt.Y("configuration:N").sort(order).title(None).axis(labelLimit=320),
    )
    title = "Forget quality: before any attack ○, after the strongest attack ●"
    rule = base.mark_rule(strokeWidth=3, opacity=0.4).encode(
        x=alt.X("robust_forget_quality:Q").title(title), x2="claimed_forget_quality:Q"
    )
    ends = [
        base.mark_point(size=130, filled=filled, strokeWidth=2, color="#0072B2").encode(
            x=alt.X(f"{name}:Q"),
            tooltip=["configuration:N", alt.Tooltip(f"{name}:Q", format=".3f")],
        )
        for name, filled in (("claimed_forget_quality", False), ("robust_forget_quality", True))
    ]
    height = max(120, 30 * len(rows))
    return alt.layer(rule, *ends).properties(height=height, usermeta=SVG)


def compute_chart(frame: pd.DataFrame, theme: str = "light") -> Any:
    """Robustness against compute, the α of UNDO along the curve, the oracle as a star at (1, 1)."""
    rows = frame.dropna(subset=["compute", "robust_forget_quality"])
    rows = rows[~rows["method"].isin(["base", "oracle"])]
    methods = sorted(rows["method"].unique())
    axes: dict[str, Any] = {
        "x": alt.X("compute:Q").title(TITLES["compute"]),
        "y": alt.Y("robust_forget_quality:Q").title(TITLES["robust_forget_quality"]),
    }
    base = alt.Chart(rows).encode(**axes)
    curve = (
        base.transform_filter("isValid(datum.alpha)")
        .mark_line(color="#888888")
        .encode(order="alpha:Q")
    )
    points = base.mark_point(filled=True, size=130).encode(
        color=alt.Color("method:N").scale(colours(methods)).title("Method"),
        tooltip=[
            "configuration:N",
            alt.Tooltip("compute:Q", format=".3f"),
            alt.Tooltip("robust_forget_quality:Q", format=".3f"),
        ],
    )
    text = base.transform_filter("isValid(datum.alpha)").transform_calculate(
        name="'α ' + datum.alpha"
    )
    names = text.mark_text(dy=-12, color=ANCHOR[theme]).encode(text="name:N")
    star = alt.Chart(pd.DataFrame({"compute": [1.0], "robust_forget_quality": [1.0]}))
    oracle = star.mark_point(shape="cross", angle=45, filled=True, size=180, color=ANCHOR[theme])
    return (curve + points + names + oracle.encode(**axes)).properties(height=340, usermeta=SVG)


def oracle_matching_chart(frame: pd.DataFrame) -> Any:
    """How much comes back from students of the oracle against how closely they imitate it.

    `frame` has the columns configuration, student, steps, kl, after (forget metric after the attack), seed.
    """
    students = sorted(frame["student"].unique())
    base = alt.Chart(frame).encode(
        x=alt.X("kl:Q").scale(type="log").title("KL from the oracle on all training questions"),
        y=alt.Y("after:Q").title("Forget metric after the strongest attack"),
        color=alt.Color("student:N").scale(colours(students)).title("Student starts from"),
        detail="seed:N",
    )
    points = base.mark_point(filled=True, size=120).encode(
        shape="student:N",
        tooltip=[
            "configuration:N", "steps:Q", "seed:N",
            alt.Tooltip("kl:Q", format=".4f"), alt.Tooltip("after:Q", format=".3f"),
        ],
    )  # fmt: skip
    text = base.mark_text(dy=-12).encode(text="steps:Q")
    lines = base.mark_line(opacity=0.5).encode(order="steps:Q")
    return (lines + points + text).properties(height=340, usermeta=SVG)
