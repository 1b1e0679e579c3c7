"""TOFU's plane: forget quality against model utility."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from backend.anchors import competing
from backend.charts.figure_panels import corner, legend, legend_height
from backend.charts.layers import layered
from backend.charts.naming import family
from backend.charts.theme import ANCHOR, ANCHOR_SHAPES, SHAPES, SVG, axis, colours
from backend.figure_views import Drawn, Material

TITLE = "TOFU forget quality against model utility"
SOURCE = "Maini et al. 2024, TOFU (arXiv 2401.06121): p of a Kolmogorov–Smirnov test on a logarithmic axis against model utility"
PLACE = 90
QUALITY, UTILITY = "tofu_forget_quality", "tofu_model_utility"


def draw(material: Material) -> Drawn | str:
    """A point a configuration: mean log₁₀ p against mean model utility, thin lines from the lowest to the highest seed."""
    lacking = [name for name in (QUALITY, UTILITY) if name not in material.whole["metrics"]]
    if lacking:
        return f"It takes the metrics {QUALITY} and {UTILITY}; the study does not have {' and '.join(lacking)}."
    frame = _points(material)
    if frame.empty or not competing(frame).any():
        return "No configuration has TOFU's two numbers yet."
    floors = material.measured([QUALITY])
    floor = floors.loc[floors["category"] == "log10 floor", "value"]
    lowest = float(floor.max()) if len(floor) else None
    return Drawn(frame, _caption(material, frame, lowest), _chart(frame, lowest, material.theme))


def _points(material: Material) -> pd.DataFrame:
    """configuration, method, family, log10_p with its ends over seeds, utility with its."""
    measured = material.measured([QUALITY, UTILITY])
    logs = measured[(measured["metric"] == QUALITY) & (measured["category"] == "log10 p")]
    kept = measured[(measured["metric"] == UTILITY) & (measured["category"] == "")]
    found = []
    for row in material.rows:
        name = row["configuration"]
        p, u = (part.loc[part["configuration"] == name, "value"].to_numpy(dtype=float) for part in (logs, kept))  # fmt: skip
        if len(p) and len(p) == len(u) == row["seeds"]:
            method = row["method"]
            kind = method.capitalize() if method in ANCHOR_SHAPES else family(name)
            found.append({"configuration": name, "method": method, "family": kind, **_ends("log10_p", p), **_ends("utility", u)})  # fmt: skip
    return pd.DataFrame(found)


def _ends(name: str, values: np.ndarray) -> dict[str, float]:
    return {name: float(values.mean()), f"{name}_low": float(values.min()), f"{name}_high": float(values.max())}  # fmt: skip


def _chart(frame: pd.DataFrame, lowest: float | None, theme: str) -> Any:
    names = sorted(dict.fromkeys(frame["family"]), key=lambda name: name.lower() in ANCHOR_SHAPES)
    x = alt.X("utility:Q", title="TOFU model utility (↑)", scale=alt.Scale(zero=False, nice=False, padding=16), axis=axis(6))  # fmt: skip
    power = alt.Axis(labelExpr="datum.value == 0 ? '1' : '1e' + datum.value", tickCount=7)
    y = alt.Y("log10_p:Q", title=["TOFU forget quality (↑ p)", "logarithmic; oracle 1"], scale=alt.Scale(zero=True, nice=True, padding=16), axis=power)  # fmt: skip
    colour, shape = _signs(names, theme)
    base = alt.Chart(frame).encode(color=colour)
    told = [alt.Tooltip("configuration:N"), alt.Tooltip("log10_p:Q", format=".2f"), alt.Tooltip("utility:Q", format=".3f")]  # fmt: skip
    points = base.mark_point(filled=True, size=130, opacity=1).encode(x=x, y=y, shape=shape, tooltip=told, description=alt.Description("configuration:N"))  # fmt: skip
    layers = [*_bars(base, frame, x, y), *_floor(lowest, theme), points, corner("better", True, True, theme)]  # fmt: skip
    return layered(*layers, height=360 + legend_height(names), usermeta=SVG)


def _signs(names: Sequence[str], theme: str) -> tuple[Any, Any]:
    plain = [name for name in names if name.lower() not in ANCHOR_SHAPES]
    palette = dict(zip(plain, colours(plain).range, strict=True))  # type: ignore[arg-type]
    signs = {name: SHAPES[i % len(SHAPES)] for i, name in enumerate(plain)}
    tones = alt.Scale(domain=list(names), range=[palette.get(n, ANCHOR[theme]) for n in names])
    marks = alt.Scale(domain=list(names), range=[signs.get(n) or ANCHOR_SHAPES[n.lower()] for n in names])  # fmt: skip
    below = legend(2, "circle")
    return alt.Color("family:N", scale=tones, sort=list(names), title=None, legend=below), alt.Shape("family:N", scale=marks, sort=list(names), title=None, legend=below)  # fmt: skip


def _bars(base: Any, frame: pd.DataFrame, x: Any, y: Any) -> list[Any]:
    if not (frame["log10_p_high"] > frame["log10_p_low"]).any():
        return []
    tall, wide = y.copy(), x.copy()
    tall.shorthand, wide.shorthand = "log10_p_low:Q", "utility_low:Q"
    rule = base.mark_rule(opacity=0.5)
    return [rule.encode(x=x, y=tall, y2=alt.Y2("log10_p_high")), rule.encode(x=wide, x2=alt.X2("utility_high"), y=y)]  # fmt: skip


def _floor(lowest: float | None, theme: str) -> list[Any]:
    if lowest is None:
        return []
    rows = pd.DataFrame({"log10_p": [lowest], "told": ["fully apart: no smaller p is possible"]})
    base = alt.Chart(rows).encode(y=alt.Y("log10_p:Q"))
    words = base.mark_text(align="left", baseline="bottom", dx=4, dy=-3, color=ANCHOR[theme])
    rule = base.mark_rule(strokeDash=[4, 4], color=ANCHOR[theme])
    return [rule, words.encode(x=alt.XValue(0), text=alt.Text("told:N"))]


def _caption(material: Material, frame: pd.DataFrame, lowest: float | None) -> str:
    rows = frame[competing(frame)]
    best = rows.sort_values("log10_p").iloc[-1]
    words = [f"{best['configuration']} comes closest to the oracle's truth ratios with p = 10^{best['log10_p']:.1f} at a utility of {best['utility']:.3f}."]  # fmt: skip
    words.append("p depends on the number of items, so only studies with the same forget set compare; it is read before any attack.")  # fmt: skip
    if lowest is not None:
        words.append(f"The smallest p that these items allow is 10^{lowest:.1f}.")
    spread = ", thin lines from the lowest to the highest seed" if material.seeds > 1 else ""
    return " ".join([*words, f"Means of log p over {material.seeds_told()}{spread}."])
