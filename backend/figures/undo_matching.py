"""UNDO's first experiment: students that imitate the oracle, from the base's weights and from random ones."""

import math
from typing import Any

import altair as alt
import pandas as pd

from backend.charts.figure_panels import lines_panel
from backend.charts.theme import axis
from backend.figure_views import Drawn, Material, over_seeds
from backend.tables import matching_frame

TITLE = "Oracle matching"
SOURCE = "Lee et al. 2025, UNDO (arXiv 2506.06278): KL along distillation, and relearning of the students and the oracle"
PLACE = 20


def draw(material: Material) -> Drawn | str:
    """(a) KL from the oracle against distillation steps, (b) the forget metric along the attack on students and oracle."""
    found = matching_frame(material.document).dropna(subset=["kl", "steps", "student"])
    if found.empty:
        return "It takes students that were distilled from the oracle (teacher = \"oracle\"), as the study quick_controls has them."  # fmt: skip
    found = found.assign(line=[f"from {_start(name)}" for name in found["student"]])
    close = over_seeds(found, ["line", "steps"], "kl")
    relearned = _relearned(material, found)
    panels = [_closeness(close, material.theme)]
    if len(relearned):
        panels.append(_along(material, relearned))
    frame = pd.concat(
        [close.assign(panel="a: KL"), relearned.assign(panel="b: relearning")], ignore_index=True
    )
    words = _caption(material, found, relearned)
    return Drawn(frame, words, panels=panels, across=2, shared=False)


def _start(student: str) -> str:
    return "the base" if student == "base" else "random weights"


def _relearned(material: Material, found: pd.DataFrame) -> pd.DataFrame:
    """Worst case of students and oracle: line, step, mean, low, high."""
    lines = {
        name: f"{line}, {int(steps):,} steps"
        for name, line, steps in zip(found["configuration"], found["line"], found["steps"], strict=True)
    }  # fmt: skip
    lines |= {row["configuration"]: "Oracle" for row in material.rows if row["method"] == "oracle"}
    worst = material.drawn_worst()
    mine = worst[worst["configuration"].isin(list(lines))]
    if not set(mine["configuration"]) & set(found["configuration"]):
        return pd.DataFrame(columns=["line", "step", "mean", "low", "high", "seeds"])
    return over_seeds(mine.assign(line=mine["configuration"].map(lines)), ["line", "step"])


def _closeness(close: pd.DataFrame, theme: str) -> Any:
    scale = alt.Scale(zero=False, nice=False, padding=14)
    x = alt.X("steps:Q", title="Distillation steps", axis=axis(5), scale=scale)
    panel = lines_panel(
        close,
        sorted(set(close["line"])),
        x=x,
        y_title=["KL from the oracle (↓)", "over all training questions"],
        title="(a) How close",
        called="Student",
        theme=theme,
        columns=1,
        points=True,
    )
    if (close["low"] > 0).all():
        _set_log(panel, float(close["low"].min()), float(close["high"].max()))
    return panel


def _set_log(panel: Any, low: float, high: float) -> None:
    """A logarithmic y from power to power of ten: a KL falls by orders of magnitude."""
    powers = [10.0**k for k in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    for layer in panel.layer:
        layer.encoding.y.scale = alt.Scale(type="log", domain=[powers[0], powers[-1]], nice=False)
        layer.encoding.y.axis = alt.Axis(values=powers, format="~g")


def _along(material: Material, relearned: pd.DataFrame) -> Any:
    ends = relearned[relearned["step"] == relearned["step"].max()]
    lines = list(ends.sort_values("mean", ascending=False)["line"])
    x = alt.X("step:Q", title="Attack steps", axis=axis(5), scale=alt.Scale(nice=False))
    return lines_panel(
        relearned,
        lines,
        x=x,
        y_title=material.forget_title("after the attack"),
        title="(b) What comes back",
        called="Student, and how long it was distilled",
        theme=material.theme,
        columns=1,
    )


def _caption(material: Material, found: pd.DataFrame, relearned: pd.DataFrame) -> str:
    words = ["Students imitate the oracle's outputs on all training questions."]
    near = over_seeds(found, ["line", "steps"], "kl").sort_values("mean").groupby("line").first()
    words += [f"The closest one {line} has a KL of {row['mean']:.2g} after {int(row['steps']):,} steps." for line, row in near.iterrows()]  # fmt: skip
    if relearned.empty:
        words.append("No student has all its attack cells yet, so (b) is missing.")
    else:
        last = relearned[relearned["step"] == relearned["step"].max()]
        low, high = last.loc[last["mean"].idxmin()], last.loc[last["mean"].idxmax()]
        words.append(f"After {int(last['step'].max())} attack steps the highest line is “{high['line']}” at {high['mean']:.2f}, the lowest “{low['line']}” at {low['mean']:.2f}.")  # fmt: skip
    spread = "; bands run from the lowest to the highest seed" if material.seeds > 1 else ""
    return " ".join([*words, f"Means over {material.seeds_told()}{spread}."])
