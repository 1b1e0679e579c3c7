"""UNDO's Pareto panels: what is kept against what is forgotten, before relearning, early in it, and after it."""

from typing import Any

import altair as alt
import moocore
import numpy as np
import pandas as pd

from backend.anchors import competing
from backend.charts.figure_panels import PAGE_HEIGHT, corner, legend, legend_height
from backend.charts.layers import layered
from backend.charts.naming import family
from backend.charts.theme import ANCHOR, ANCHOR_SHAPES, SHAPES, SVG, axis, colours
from backend.figure_views import Drawn, Material, over_seeds

TITLE = "Retain against forget as relearning goes on"
SOURCE = "Lee et al. 2025, UNDO (arXiv 2506.06278): Pareto panels at 0, 40 and 500 relearning steps"
PLACE = 40
EARLY = 0.08  # of the largest step: the paper's 40 of 500


def draw(material: Material) -> Drawn | str:
    """A panel at step 0, at the evaluated step nearest to 8 % of the largest, and at the largest."""
    worst, retain = material.drawn_worst(), material.whole["reference"]["metric_retain"]
    kept = {r["configuration"]: r["metrics"].get(retain, {}).get("mean") for r in material.rows}
    worst = worst[worst["configuration"].map(kept).notna()]
    if worst[competing(worst)].empty:
        return "It takes a configuration with the retain metric before the attack and all its cells of an attack along its steps."
    steps = moments(sorted(set(worst["step"])))
    frame = over_seeds(worst[worst["step"].isin(steps)], ["configuration", "method", "step"])
    frame = frame.assign(
        retain=frame["configuration"].map(kept),
        family=[_family(name, method) for name, method in zip(frame["configuration"], frame["method"], strict=True)],
    )  # fmt: skip
    names = sorted(dict.fromkeys(frame["family"]), key=lambda name: name.lower() in ANCHOR_SHAPES)
    panels = [_panel(material, frame, step, names) for step in steps]
    words = _caption(material, frame, steps)
    return Drawn(frame, words, panels=panels, across=len(panels))


def moments(steps: list[int]) -> list[int]:
    """0, the evaluated step nearest to 8 % of the largest, and the largest; fewer where there are fewer."""
    between = steps[1:-1]
    early = [min(between, key=lambda step: abs(step - EARLY * steps[-1]))] if between else []
    return sorted({steps[0], *early, steps[-1]})


def _family(name: str, method: str) -> str:
    return method.capitalize() if method in ANCHOR_SHAPES else family(name)


def _panel(material: Material, frame: pd.DataFrame, step: int, names: list[str]) -> Any:
    forget, retain = material.axis("forget"), material.axis("retain")
    low, high = float(frame["low"].min()), float(frame["high"].max())
    room = 0.12 * (high - low) or 0.05  # for the word in the corner
    x = alt.X("retain:Q", title=[retain.title(), "before the attack"], scale=alt.Scale(zero=False, nice=True, padding=12), axis=axis(4))  # fmt: skip
    y = alt.Y("mean:Q", title=material.forget_title("worst case up to that step"), scale=alt.Scale(domain=[low - room, high + room], nice=False), axis=axis(5))  # fmt: skip
    rows = frame[frame["step"] == step]
    colour = alt.Color("family:N", scale=_colours(names, material.theme), sort=names, title=None, legend=legend(2, "circle"))  # fmt: skip
    shape = alt.Shape("family:N", scale=_shapes(names), sort=names, title=None, legend=legend(2, "circle"))  # fmt: skip
    base = alt.Chart(rows).encode(x=x, color=colour)
    told = [alt.Tooltip("configuration:N"), alt.Tooltip("retain:Q", format=".3f"), alt.Tooltip("mean:Q", format=".3f")]  # fmt: skip
    points = base.mark_point(filled=True, size=85, opacity=0.9).encode(
        y=y, shape=shape, tooltip=told, description=alt.Description("configuration:N")
    )
    tall = y.copy()
    tall.shorthand = "low:Q"
    layers = [base.mark_rule(opacity=0.5).encode(y=tall, y2=alt.Y2("high")), points]
    if forget.better and retain.better:
        layers.append(corner("better", retain.better == "up", forget.better == "up", material.theme))  # fmt: skip
    height = PAGE_HEIGHT + legend_height(names)
    title = "Before any attack step" if step == 0 else f"After {step} steps"
    return layered(*layers, title=title, height=height, usermeta=SVG)


def _colours(names: list[str], theme: str) -> alt.Scale:
    plain = [name for name in names if name.lower() not in ANCHOR_SHAPES]
    palette = dict(zip(plain, colours(plain).range, strict=True))  # type: ignore[arg-type]
    return alt.Scale(domain=names, range=[palette.get(name, ANCHOR[theme]) for name in names])


def _shapes(names: list[str]) -> alt.Scale:
    plain = [name for name in names if name.lower() not in ANCHOR_SHAPES]
    signs = {name: SHAPES[i % len(SHAPES)] for i, name in enumerate(plain)}
    anchors = {"Base": ANCHOR_SHAPES["base"], "Oracle": ANCHOR_SHAPES["oracle"]}
    return alt.Scale(domain=names, range=[{**signs, **anchors}[name] for name in names])


def undominated(frame: pd.DataFrame, forget: str, retain: str) -> list[str]:
    """The configurations that none beats in both, base and oracle apart; `forget` and `retain` are the better ends."""
    rows = frame[competing(frame)]
    signs = np.array([-1.0 if better == "up" else 1.0 for better in (retain, forget)])
    points = np.ascontiguousarray(rows[["retain", "mean"]].to_numpy(dtype=float) * signs)
    return list(rows.loc[moocore.is_nondominated(points, keep_weakly=True), "configuration"])


def _caption(material: Material, frame: pd.DataFrame, steps: list[int]) -> str:
    attack = material.attack or {}
    words = [f"Worst case over the {attack['grid_size']} cells of {attack['label']} up to {', '.join(map(str, steps[:-1]))} and {steps[-1]} steps against the retain metric before the attack; means over {material.seeds_told()}{', vertical lines from the lowest to the highest seed' if material.seeds > 1 else ''}."]  # fmt: skip
    ends = material.axis("forget").better, material.axis("retain").better
    if all(ends):
        for step in (steps[0], steps[-1]):
            rows = frame[frame["step"] == step]
            best = undominated(rows, *ends)
            total = int(competing(rows).sum())
            if total < 2:
                continue
            named = f": {', '.join(best)}" if len(best) <= 4 else ""
            words.append(
                f"At step {step} no other is better in both than {len(best)} of {total}{named}."
            )
    return " ".join(words)
