"""A chart as a figure of stated size: everything inside the page, nothing over anything else."""

import json
from dataclasses import dataclass
from typing import Any

import altair as alt

from backend.charts.dressing import dressed, rows
from backend.charts.lettering import LEADING
from backend.charts.placing import placed, prepared
from backend.charts.presets import Preset, smaller
from backend.charts.scene import Scene, scene
from backend.charts.styling import in_greys, styled
from backend.charts.theme import ANCHOR, GROUND
from backend.charts.views import copied, counts, plots, reflowed

TRIES = 7
SHRINK = 0.85  # of what is too large for its page, once and again
NEAR = 1.5  # points by which a figure may miss its page before the padding takes the rest
EDGE = 2.0  # points of white around everything
LEAST_SHARE = 0.4  # of the page's width: the least height of a plot without rows
LEAST_PANEL = 150.0  # points: below it plots stand above each other rather than side by side
TALLEST = 9 * 72.0  # what a journal's page holds
LEAST_WIDTH = 0.12  # of the page, for a plot
ROW = 0.5  # font sizes of white between rows
CLOSE = 0.2  # of it on a page that may not grow
ROWS_SHARE = 0.72  # of the page's height that rows may take before their names shrink


@dataclass(frozen=True)
class Figure:
    """A figure for paper: the Vega-Lite specification, and its page in points."""

    specification: dict[str, Any]
    width: float
    height: float


def plain(chart: Any) -> dict[str, Any]:
    """A chart's specification with its data, in the colours of a white page."""
    with alt.data_transformers.disable_max_rows():
        text = json.dumps(chart if isinstance(chart, dict) else chart.to_dict())
    for colours in (GROUND, ANCHOR):
        text = text.replace(colours["dark"], colours["light"])
    found: dict[str, Any] = json.loads(text)
    return found


def printed(chart: Any, preset: Preset, greys: bool = False) -> Figure:
    """The chart at the preset's size.

    The page has the preset's width and height. Where rows or a legend need more, a page that may grow is taller; on one
    that may not, texts and marks shrink first. Rows alone never fill a growing page: it is as tall as they are.
    """
    original = plain(chart)
    base = in_greys(original) if greys else original
    base["padding"] = EDGE
    base.pop("autosize", None)
    if preset.grows:
        reflowed(base, int(preset.width // LEAST_PANEL))
    prepared(base)
    drawn_as = _for_rows(base, preset)
    while True:
        made, drawn = _fitted(base, drawn_as)
        over = drawn.height > preset.height + NEAR and not preset.grows
        if not over or drawn_as.label * SHRINK < preset.least:
            break
        drawn_as = smaller(drawn_as, SHRINK)
    made = placed(made, drawn, drawn_as)
    return _framed(made, scene(made), preset, _rows(base, drawn_as)[1])


def _for_rows(base: dict[str, Any], preset: Preset) -> Preset:
    """The preset, smaller where the rows of a page that may not grow would not fit."""
    least, _ = _rows(base, preset)
    fits = ROWS_SHARE * preset.height / least
    if preset.grows or fits >= 1 or not _deepest(base, preset):
        return preset
    return smaller(preset, max(fits, preset.least / preset.label))


def _fitted(base: dict[str, Any], preset: Preset) -> tuple[dict[str, Any], Scene]:
    """The specification at the largest plots that the page holds, and how it is drawn."""
    base = copied(base)
    styled(base, preset)
    least, rigid = _rows(base, preset)
    across, along = counts(base)
    wide = _Side(preset.width, 0.7 * preset.width / across, LEAST_WIDTH * preset.width / across, across)  # fmt: skip
    wanted = _height(preset, along)
    high = _Side(wanted, least if rigid else max(least, 0.6 * wanted / along), least, along)  # fmt: skip
    for _ in range(TRIES):
        made = copied(base)
        dressed(made, preset, wide.size, high.size)
        drawn = scene(made)
        done = wide.measured(drawn.width)
        if (rigid or high.measured(drawn.height)) and done:
            break
    return made, drawn


def _height(preset: Preset, along: int) -> float:
    """The page's height: where it may grow, each of the plots above each other has what one would have."""
    return (
        min(preset.height * along, max(TALLEST, preset.height)) if preset.grows else preset.height
    )


@dataclass
class _Side:
    """The search for the width or height of a plot with which the whole figure gets the page's."""

    wanted: float
    size: float
    least: float
    slope: float  # how much the figure grows with the plot
    before: tuple[float, float] | None = None

    def measured(self, whole: float) -> bool:
        """Take in what the figure measures; whether that is near enough, or nothing better is left."""
        left = self.wanted - whole
        if self.before and abs(self.size - self.before[0]) > 1:
            seen = (whole - self.before[1]) / (self.size - self.before[0])
            self.slope = min(max(seen, 0.4 * self.slope), 2.5 * self.slope)
        better = max(self.least, self.size + (left - NEAR / 3) / self.slope)
        if 0 <= left <= NEAR or abs(better - self.size) < 0.2:
            return True
        self.before, self.size = (self.size, whole), better
        return False


def _deepest(base: dict[str, Any], preset: Preset) -> list[list[str]]:
    """The names of the plot with most rows, in their lines."""
    return max((rows(base, view, preset) for view in plots(base)), key=len, default=[])


def _rows(base: dict[str, Any], preset: Preset) -> tuple[float, bool]:
    """The least height of a plot, and whether it has just that height."""
    names = _deepest(base, preset)
    if not names:
        return LEAST_SHARE * min(preset.width, preset.height * 1.2), False
    row = (ROW if preset.grows else CLOSE) + LEADING * max(len(lines) for lines in names)
    return preset.label * row * len(names), preset.grows


def _framed(made: dict[str, Any], drawn: Scene, preset: Preset, rigid: bool) -> Figure:
    """The page around the figure: what is left over becomes white."""
    width = max(preset.width, drawn.width)
    wanted = _height(preset, counts(made)[1])
    height = drawn.height if rigid else max(wanted, drawn.height)
    sides, ends = EDGE + (width - drawn.width) / 2, EDGE + (height - drawn.height) / 2
    made["padding"] = {"left": sides, "right": sides, "top": ends, "bottom": ends}
    return Figure(made, width, height)
