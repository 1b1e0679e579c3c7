"""Colours, shapes and paper sizes that all charts share."""

from typing import Any

import altair as alt

# Okabe and Ito's palette: told apart with the common kinds of colour blindness, on white and on black.
PALETTE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C00", "#7F7F7F"]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right"]
ANCHOR = {"light": "#444444", "dark": "#cccccc"}
FONT = "Liberation Sans"  # metrically Arial; exports embed it, and fall back to sans-serif
SVG: dict[str, Any] = {"embedOptions": {"renderer": "svg"}}
PAPER = {"one column": 234, "two columns": 486}  # points: 3.25 in and 6.75 in

TITLES = {
    "robust_forget_quality": "Robust forget quality (↑, after the attack)",
    "claimed_forget_quality": "Claimed forget quality (↑, before any attack)",
    "utility": "Utility (↑, base = 1)",
    "compute": "Compute (↓, FLOPs, oracle = 1)",
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


def colours(names: list[str]) -> alt.Scale:
    """One colour for each name, in the order given."""
    palette = [PALETTE[i % len(PALETTE)] for i in range(len(names))]
    return alt.Scale(domain=names, range=palette)


def shapes(names: list[str]) -> alt.Scale:
    """One shape for each name, so that colour is never the only sign."""
    return alt.Scale(domain=names, range=[SHAPES[i % len(SHAPES)] for i in range(len(names))])


def paper(chart: Any, width: int = 486, height: int = 300) -> Any:
    """A copy for paper: stated size, an embeddable font, a white ground."""
    copied: Any = chart.copy(deep=True)
    inner = copied.spec if isinstance(copied, alt.FacetChart) else copied
    if not isinstance(copied, alt.HConcatChart | alt.VConcatChart):
        inner.width, inner.height = width, height
    return copied.configure(
        font=FONT, background="white", axis=alt.AxisConfig(labelFontSize=10, titleFontSize=11)
    ).configure_legend(labelFontSize=10, titleFontSize=11, labelLimit=300)
