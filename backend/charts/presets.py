"""Sizes of figures for print and projection: everything in points, of which an inch has 72."""

from dataclasses import dataclass, replace

from backend.stage import UserError

POINTS = 72
THINNEST = 0.5  # of a line that a printer still draws whole
SMALLEST = 7.0  # of a text that is still read in print


@dataclass(frozen=True)
class Preset:
    """How large a figure is and what is drawn how large in it; lengths in points."""

    name: str
    width: float
    height: float
    label: float  # size of ticks, legends and names
    title: float  # size of axis and legend titles
    scale: float  # of marks and lines, against those on the screen
    ticks: int  # on an axis, about
    legend: str  # where it goes where it fits: "right" or "bottom"
    least: float  # size of a text, where much must fit
    grows: bool  # downwards, where rows or a legend need more room

    @property
    def inches(self) -> tuple[float, float]:
        """Width and height in inches."""
        return self.width / POINTS, self.height / POINTS


def smaller(preset: Preset, share: float) -> Preset:
    """The same page with everything on it drawn smaller."""
    return replace(
        preset,
        label=max(preset.label * share, preset.least),
        title=max(preset.title * share, preset.least),
        scale=preset.scale * share,
    )


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("one column", 234, 190, 7, 7.5, 0.58, 5, "bottom", SMALLEST, True),
        Preset("two columns", 486, 270, 8, 9, 0.75, 8, "right", SMALLEST, True),
        Preset("slides", 960, 540, 16, 18, 1.6, 8, "right", 8, False),
        Preset("poster", 1152, 720, 24, 26, 2.2, 7, "right", 10, False),
    )
}
DEFAULT = "two columns"


def preset_of(name: str) -> Preset:
    """The preset of that name, `two-columns` and `two_columns` too; UserError lists the names."""
    found = PRESETS.get(name.replace("-", " ").replace("_", " "))
    if found is None:
        raise UserError(f"preset = {name!r} is not one of {', '.join(PRESETS)}.")
    return found
