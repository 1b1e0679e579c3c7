"""How things look in print: sizes of texts, marks and lines of a preset, dark ink on white, or greys alone."""

import json
import re
from typing import Any

from backend.charts.presets import THINNEST, Preset
from backend.charts.theme import FONT
from backend.charts.views import every_mark, kind, plots

INK = "#222222"
FAINT = "#dddddd"
LEGENDS = ("color", "fill", "stroke", "shape", "size", "opacity", "strokeDash", "strokeWidth")
SMALLEST_SYMBOL = 14.0  # square points
DEFAULT_SYMBOL, DEFAULT_LINE = 60.0, 2.0
LINES = ("line", "trail", "rule", "point", "area")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
LIGHTEST_GREY = 0.72  # of the greys that stand for colours; lighter ones are lost on white
FROM_SCREEN = (
    "rowPadding",
    "labelFontSize",
    "titleFontSize",
    "labelLimit",
    "titleLimit",
    "fontSize",
)


def styled(specification: dict[str, Any], preset: Preset) -> None:
    """Give every mark, axis and legend the preset's sizes; the specification is changed."""
    specification["config"] = {**specification.get("config", {}), **_config(preset)}
    for unit in every_mark(specification):
        _mark(unit, preset)
        for name, given in unit.get("encoding", {}).items():
            if isinstance(given, dict):
                _channel(name, given, preset)
    for view in plots(specification):
        for name, given in view.get("encoding", {}).items():
            if isinstance(given, dict):
                _channel(name, given, preset)


def _config(preset: Preset) -> dict[str, Any]:
    thin = max(THINNEST, 0.8 * preset.scale)
    texts = {
        "labelFontSize": preset.label, "titleFontSize": preset.title, "titleFontWeight": "normal",
        "labelColor": INK, "titleColor": INK, "labelLimit": 0, "titleLimit": 0,
    }  # fmt: skip
    axis = {
        **texts, "gridColor": FAINT, "gridWidth": THINNEST, "domainColor": "#666666", "domainWidth": thin,
        "tickColor": "#666666", "tickWidth": thin, "tickSize": preset.label * 0.4,
        "labelPadding": preset.label * 0.3, "titlePadding": preset.label * 0.6, "labelSeparation": preset.label * 0.6,
    }  # fmt: skip
    layout = {"anchor": "middle", "direction": "vertical", "bounds": "full", "margin": preset.label * 0.6}  # fmt: skip
    legend = {
        **texts, "titlePadding": preset.label * 0.3, "rowPadding": preset.label * 0.2, "offset": preset.label * 1.2,
        "columnPadding": preset.label, "labelOffset": preset.label * 0.4, "symbolSize": symbol(100, preset),
        "gradientThickness": preset.label, "layout": {"bottom": layout, "right": {"direction": "vertical", "margin": preset.label}},
    }  # fmt: skip
    return {
        "font": FONT, "background": "white", "axis": axis, "legend": legend,
        "view": {"stroke": FAINT, "strokeWidth": THINNEST},
        "header": {"labelFontSize": preset.label, "titleFontSize": preset.title, "titleFontWeight": "normal"},
        "title": {"fontSize": preset.title, "fontWeight": "normal"},
        "concat": {"spacing": preset.label * 2}, "facet": {"spacing": preset.label * 2},
    }  # fmt: skip


def symbol(size: float, preset: Preset) -> float:
    """The area of a symbol that has this one on the screen."""
    return round(max(SMALLEST_SYMBOL, size * preset.scale**2), 2)


def line(width: float, preset: Preset) -> float:
    """The width of a line that has this one on the screen."""
    return round(max(THINNEST, width * preset.scale), 2)


def _mark(unit: dict[str, Any], preset: Preset) -> None:
    name = kind(unit)
    mark = unit["mark"] = {"type": name} if isinstance(unit["mark"], str) else unit["mark"]
    if name in ("point", "circle", "square") and "size" not in unit.get("encoding", {}):
        mark.setdefault("size", DEFAULT_SYMBOL)
    if name in LINES and "strokeWidth" not in unit.get("encoding", {}):
        mark.setdefault("strokeWidth", 1 if name == "rule" else DEFAULT_LINE)
    if name == "text":
        mark["fontSize"] = preset.label
    if mark.get("point"):
        mark["point"] = {**(mark["point"] if isinstance(mark["point"], dict) else {}), "size": symbol(50, preset)}  # fmt: skip
    for key, measure in (("size", symbol), ("strokeWidth", line)):
        if isinstance(mark.get(key), int | float):
            mark[key] = measure(mark[key], preset)
    for key in ("dx", "dy", "cornerRadius"):
        if isinstance(mark.get(key), int | float):
            mark[key] = round(mark[key] * max(preset.scale, preset.label / 11), 2)
    if isinstance(mark.get("strokeDash"), list):
        mark["strokeDash"] = dashed(mark["strokeDash"], preset)


def dashed(pattern: list[float], preset: Preset) -> list[float]:
    """A line's dashes, none shorter than what a printer separates."""
    return [round(max(1.0, part * preset.scale), 2) if part else 0 for part in pattern]


def _channel(name: str, given: dict[str, Any], preset: Preset) -> None:
    measure = {"size": symbol, "strokeWidth": line}.get(name)
    scale = given.get("scale")
    if measure and isinstance(scale, dict) and isinstance(scale.get("range"), list):
        scale["range"] = [measure(value, preset) for value in scale["range"]]
    if name == "strokeDash" and isinstance(scale, dict) and isinstance(scale.get("range"), list):
        scale["range"] = [dashed(pattern, preset) for pattern in scale["range"]]
    if measure:
        _values(given, measure, preset)
    for part in ("axis", "legend"):
        if isinstance(given.get(part), dict):
            given[part] = {k: v for k, v in given[part].items() if k not in FROM_SCREEN}
    if name in LEGENDS and isinstance(given.get("legend"), dict):
        _legend(given["legend"], preset)


def _values(given: dict[str, Any], measure: Any, preset: Preset) -> None:
    """Fixed values, those under a condition too."""
    conditions = given.get("condition", [])
    for holder in (given, *(conditions if isinstance(conditions, list) else [conditions])):
        if isinstance(holder.get("value"), int | float):
            holder["value"] = measure(holder["value"], preset)


def _legend(legend: dict[str, Any], preset: Preset) -> None:
    if isinstance(legend.get("symbolSize"), int | float):
        # A stroke's size is its length squared: it keeps its proportion to the text.
        stroke = legend.get("symbolType") == "stroke"
        legend["symbolSize"] = (
            (1.8 * preset.label) ** 2 if stroke else symbol(legend["symbolSize"], preset)
        )
    if isinstance(legend.get("symbolStrokeWidth"), int | float) and legend["symbolStrokeWidth"]:
        legend["symbolStrokeWidth"] = line(legend["symbolStrokeWidth"], preset)
    if isinstance(legend.get("gradientLength"), int | float):
        legend["gradientLength"] = preset.label * 14


def in_greys(specification: dict[str, Any]) -> dict[str, Any]:
    """The same in greys: colours that tell names apart become evenly spaced greys, all others as light as they were."""
    made: dict[str, Any] = json.loads(COLOUR.sub(lambda found: grey_of(found[0]), json.dumps(specification)))  # fmt: skip
    for original, unit in zip(every_mark(specification), every_mark(made), strict=True):
        for name in ("color", "fill", "stroke"):
            given = unit.get("encoding", {}).get(name)
            scale = given.get("scale") if isinstance(given, dict) else None
            if isinstance(scale, dict):
                _grey_scale(scale, original["encoding"][name]["scale"])
    return made


def _grey_scale(scale: dict[str, Any], original: dict[str, Any]) -> None:
    if isinstance(scale.get("range"), list):
        different = list(dict.fromkeys(original["range"]))
        steps = max(1, len(different) - 1)
        greys = {c: _grey(LIGHTEST_GREY * i / steps) for i, c in enumerate(different)}
        scale["range"] = [greys[colour] for colour in original["range"]]
    if "scheme" in scale:
        scale |= {"scheme": "greys", "reverse": True}  # dark is low, as in viridis and cividis


def grey_of(colour: str) -> str:
    """The grey that is as light as a colour, by the weights of the eye (Rec. 709, on linear light)."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    light = sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return _grey(light * 12.92 if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055)


def _grey(value: float) -> str:
    return f"#{round(255 * value):02x}" + f"{round(255 * value):02x}" * 2
