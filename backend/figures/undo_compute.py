"""UNDO's trade-off: relative robustness against relative compute in steps, one point an α."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from scipy import stats

from backend.charts.figure_panels import colour_of, legend, legend_height
from backend.charts.layers import layered
from backend.charts.naming import told_apart
from backend.charts.screen_names import SHIFT, places
from backend.charts.theme import ANCHOR, STAR, SVG, axis, shapes
from backend.figure_views import Drawn, Material, alpha_of

TITLE = "Robustness against compute, by α"
SOURCE = "Lee et al. 2025, UNDO (arXiv 2506.06278): relative robustness against relative compute in steps, the oracle at (100 %, 100 %)"
PLACE = 30
PAIR = {"compute": "relative_compute_steps", "robustness": "relative_robustness"}
FEWEST = 3  # points of a fit: two always lie on a line


def draw(material: Material) -> Drawn | str:
    """A point an α with its intervals, a dashed least-squares line through those of one recipe, the oracle as a star."""
    points = _points(material.rows)
    if points.empty or points.groupby("recipe")["alpha"].nunique().max() < 2:
        return "It takes a recipe that ends in UNDO at several α (alpha = [0.2, 0.4, 0.6, 0.8]), and all attack cells of it, of its suppressed parent and of the oracle."
    points["recipe"] = points["recipe"].map(told_apart(points["recipe"]))
    fits = {name: fit(mine) for name, mine in points.groupby("recipe", sort=False)}
    chart = _chart(points, {name: one for name, one in fits.items() if one}, material.theme)
    return Drawn(points, _caption(material, points, fits), chart)


def fit(points: pd.DataFrame) -> dict[str, float] | None:
    """Least squares of robustness on compute over the means: slope, intercept, r2; None below three different computes."""
    if points["compute"].nunique() < FEWEST:
        return None
    found = stats.linregress(points["compute"], points["robustness"])
    return {
        "slope": float(found.slope),
        "intercept": float(found.intercept),
        "r2": float(found.rvalue**2),
    }


def _points(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a configuration, in percent: recipe, alpha, compute, robustness and their 95 % intervals over seeds."""
    found = []
    for row in rows:
        alpha, pair = alpha_of(row), row["paper"]
        if alpha is None or any(pair[key]["mean"] is None for key in PAIR.values()):
            continue
        told: dict[str, Any] = {"configuration": row["configuration"], "recipe": _recipe(row["configuration"]), "alpha": alpha}  # fmt: skip
        for name, key in PAIR.items():
            for end, word in (("mean", ""), ("low", "_low"), ("high", "_high")):
                value = pair[key][end]
                told[f"{name}{word}"] = None if value is None else 100 * value
        found.append(told)
    frame = pd.DataFrame(found)
    return frame.sort_values(["recipe", "alpha"], ignore_index=True) if len(frame) else frame


def _recipe(label: str) -> str:
    """A configuration's name without its α."""
    return re.sub(r" \(\)", "", re.sub(r"α [0-9.eE+-]+(, )?", "", label)).replace(", )", ")")


def _chart(points: pd.DataFrame, fits: Mapping[Any, Mapping[str, float]], theme: str) -> Any:
    names = list(dict.fromkeys(points["recipe"]))
    x = alt.X("compute:Q", title="Relative compute (↓ % of the oracle's steps)", scale=alt.Scale(zero=True, nice=True, padding=14), axis=axis(6))  # fmt: skip
    y = alt.Y("robustness:Q", title=["Relative robustness (↑ %)", "suppressed parent 0, oracle 100"], scale=alt.Scale(zero=True, nice=True, padding=14), axis=axis(6))  # fmt: skip
    colour = alt.Color("recipe:N", scale=colour_of(names, theme), title="Recipe", legend=legend(1, "circle"))  # fmt: skip
    signs = alt.Shape("recipe:N", scale=shapes(names), title="Recipe", legend=legend(1, "circle"))
    base = alt.Chart(points).encode(color=colour)
    told = [
        alt.Tooltip("configuration:N"),
        *(alt.Tooltip(f"{name}:Q", format=".1f") for name in PAIR),
    ]
    marks = base.mark_point(filled=True, size=110, opacity=1).encode(
        x=x, y=y, shape=signs, tooltip=told, description=alt.Description("configuration:N")
    )
    layers = [*_fitted(points, fits, x, y, colour), *_bars(base, points, x, y), marks]
    layers += [*_names(points, x, y, theme), *_oracle(x, y, theme)]
    height = 380 + legend_height(names, 1)
    return layered(*layers, height=height, usermeta=SVG)


def _names(points: pd.DataFrame, x: alt.X, y: alt.Y, theme: str) -> list[Any]:
    """The α beside each point where there is room for it."""
    names = [f"α {alpha:g}" for alpha in points["alpha"]]
    at = points[["compute", "robustness"]].to_numpy(dtype=float)
    ends = [np.append(pair, [0.0, 100.0]) for pair in points[["robustness_low", "robustness_high"]].fillna(100).to_numpy(dtype=float).T]  # fmt: skip
    low, high = np.array([min(0.0, at[:, 0].min()), min(e.min() for e in ends)]), np.array([max(100.0, at[:, 0].max()), max(e.max() for e in ends)])  # fmt: skip
    inside = (at - low) / (high - low)
    told = points.assign(name=names, place=places(inside, names, np.vstack([inside, [[1.0, 1.0]]])))
    layers: list[Any] = []
    for place, rows in told[told["place"] != ""].groupby("place"):
        side, shift = str(place).split()
        align: Any
        align, dx = ("left", 12) if side == "left" else ("right", -12)
        text = alt.Chart(rows).mark_text(align=align, dx=dx, dy=SHIFT[shift], color=ANCHOR[theme])
        layers.append(text.encode(x=x, y=y, text=alt.Text("name:N")))
    return layers


def _fitted(
    points: pd.DataFrame, fits: Mapping[Any, Mapping[str, float]], x: alt.X, y: alt.Y, colour: Any
) -> list[Any]:
    ends = []
    for name, one in fits.items():
        mine = points.loc[points["recipe"] == name, "compute"]
        ends += [{"recipe": name, "compute": at, "robustness": one["intercept"] + one["slope"] * at} for at in (mine.min(), mine.max())]  # fmt: skip
    if not ends:
        return []
    line = alt.Chart(pd.DataFrame(ends)).mark_line(strokeDash=[6, 4], strokeWidth=1.5, opacity=0.8)
    return [line.encode(x=x, y=y, color=colour)]


def _bars(base: Any, points: pd.DataFrame, x: alt.X, y: alt.Y) -> list[Any]:
    if not points["robustness_low"].notna().any():
        return []
    tall, wide = y.copy(), x.copy()
    tall.shorthand, wide.shorthand = "robustness_low:Q", "compute_low:Q"
    rule = base.mark_rule(opacity=0.55)
    return [rule.encode(x=x, y=tall, y2=alt.Y2("robustness_high")), rule.encode(x=wide, x2=alt.X2("compute_high"), y=y)]  # fmt: skip


def _oracle(x: alt.X, y: alt.Y, theme: str) -> list[Any]:
    star = alt.Chart(pd.DataFrame({"compute": [100.0], "robustness": [100.0], "told": ["Oracle"]}))
    star = star.encode(x=x, y=y)
    mark = star.mark_point(shape=STAR, filled=True, opacity=1, size=230, color=ANCHOR[theme])
    text = star.mark_text(dy=-16, fontWeight="bold", color=ANCHOR[theme])
    return [mark, text.encode(text=alt.Text("told:N"))]


def _caption(material: Material, points: pd.DataFrame, fits: Mapping[Any, Any]) -> str:
    words = []
    for name, one in fits.items():
        count = int((points["recipe"] == name).sum())
        if one:
            words.append(f"{name}: over {count} values of α robustness rises by {one['slope']:.2f} points for each point of compute (least squares, R² = {one['r2']:.2f}).")  # fmt: skip
        else:
            words.append(f"{name}: {count} value{'s' if count > 1 else ''} of α, too few for a line.")  # fmt: skip
    spread = " with 95 % intervals over them" if material.seeds > 1 else ""
    lacking = sum(alpha_of(row) is not None for row in material.rows) - len(points)
    words.append(f"Means over {material.seeds_told()}{spread}; the line goes through the means.")
    if lacking:
        words.append(f"{lacking} more value{'s' if lacking > 1 else ''} of α cannot be drawn: a number is missing.")  # fmt: skip
    return " ".join(words)
