"""Colours, shapes, axes and paper sizes that all charts share."""

from collections.abc import Sequence
from typing import Any

import altair as alt

# Six of Okabe and Ito's colours and two more: told apart with all three kinds of dichromacy, on white and on black.
PALETTE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#904824", "#A854FC"]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right"]
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4]]
STAR = "M0,-1L.235,-.324L.951,-.309L.380,.124L.588,.809L0,.4L-.588,.809L-.380,.124L-.951,-.309L-.235,-.324Z"
ANCHOR_SHAPES = {"base": "cross", "oracle": STAR}
ANCHOR = {"light": "#444444", "dark": "#cccccc", "neutral": "#808080"}
GROUND = {"light": "#ffffff", "dark": "#0e1117"}
# The family that the converter brings along; Arial and Helvetica, whose letters are as wide, stand in for it elsewhere.
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
SVG: dict[str, Any] = {"embedOptions": {"renderer": "svg"}}
PLACED = "placed"  # the style of texts beside points, which figures for paper move to where nothing lies under them

TITLES = {
    "robust_forget_quality": "Robust forget quality (↑ after the attack; base = 0, oracle = 1)",
    "claimed_forget_quality": "Claimed forget quality (↑ before any attack; base = 0, oracle = 1)",
    "utility": "Utility (↑ what is kept; base = 1)",
    "compute": "Compute (↓ FLOPs; base = 0, oracle = 1)",
}
DIRECTIONS = {
    "robust_forget_quality": "up",
    "claimed_forget_quality": "up",
    "utility": "up",
    "compute": "down",
}
NAMES = {
    "robust_forget_quality": "robust forget quality",
    "claimed_forget_quality": "claimed forget quality",
    "utility": "utility",
    "compute": "compute",
}


def title_of(name: str, anchor: str = "oracle") -> str:
    """An axis title: words, direction and what the scale is anchored at; a metric's plain name for other columns."""
    title = TITLES.get(name, name.replace("_", " ").capitalize())
    return title if anchor == "oracle" else title.replace("oracle = 1", f"{anchor} = 1")


def axis(ticks: int = 8, **more: Any) -> alt.Axis:
    """An axis with few enough ticks to read."""
    return alt.Axis(tickCount=ticks, labelOverlap=True, **more)


def colours(names: Sequence[str]) -> alt.Scale:
    """One colour for each name, in the order given."""
    palette = [PALETTE[i % len(PALETTE)] for i in range(len(names))]
    return alt.Scale(domain=list(names), range=palette)


def shapes(names: Sequence[str]) -> alt.Scale:
    """One shape for each name, so that colour is never the only sign."""
    return alt.Scale(domain=list(names), range=[SHAPES[i % len(SHAPES)] for i in range(len(names))])


def dashes(names: Sequence[str]) -> alt.Scale:
    """One kind of line for each name; with the colours no two of forty lines look alike."""
    found = [DASHES[(i // len(PALETTE) + i) % len(DASHES)] for i in range(len(names))]
    return alt.Scale(domain=list(names), range=found)
