"""Names, titles and legends of a figure of known size: broken into lines and columns so that they fit."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from backend.charts import lettering
from backend.charts.frontier import told_apart
from backend.charts.presets import Preset
from backend.charts.styling import LEGENDS
from backend.charts.views import counts, encoded, kind, marks, plots, shown

CONFIGURATIONS = ("configuration", "series")  # fields whose values name recipes
NAMES_ROOM = 0.36  # of the page's width, for the names along a vertical axis
LEGEND_ROOM = 0.3  # of the page's width, for a legend on the right
HALF = 0.5  # of it, where the page may not grow
MOST_ROWS = 0.92  # of the page's height, for a legend on the right
SLANT = -50


def short(field: str, names: Sequence[str]) -> dict[str, str]:
    """Each name as a figure says it: recipes without the parameters that all of them share."""
    return told_apart(names) if field in CONFIGURATIONS else {name: name for name in names}


def lines_of(text: str, size: float, limit: float) -> list[str]:
    """A name in lines; a chain of stages rather breaks behind its arrows."""
    if lettering.width(text, size) <= limit:
        return [text]
    stages = text.split(" → ")
    if len(stages) > 1:
        pieces = [f"{one} →" for one in stages[:-1]] + [stages[-1]]
        if lettering.widest(pieces, size) <= limit:
            return pieces
    return lettering.wrapped(text, size, limit)


def looked_up(lines: Mapping[str, Sequence[str]]) -> str:
    """A Vega expression that gives a name's lines."""
    table = json.dumps({name: list(found) for name, found in lines.items()}, ensure_ascii=False)
    return f"({table})[datum.label] || datum.label"


def rows(specification: Mapping[str, Any], view: dict[str, Any], preset: Preset) -> list[list[str]]:
    """The names along a vertical axis in their lines; empty where it shows numbers."""
    names = shown(specification, view, "y")
    if not names:
        return []
    field = next(encoded(view, "y"))["field"]
    limit = NAMES_ROOM * preset.width / counts(dict(specification))[0]
    return [lines_of(one, preset.label, limit) for one in short(field, names).values()]


def dressed(specification: dict[str, Any], preset: Preset, width: float, height: float) -> None:
    """Lay out the texts around every plot of that width and height; the specification is changed."""
    columns = columns_on_the_right(specification, preset)
    for view in plots(specification):
        view["width"], view["height"] = round(width, 2), round(height, 2)
        _vertical(specification, view, preset)
        _horizontal(specification, view, preset, width)
        _titles(view, preset, width, height)
        _legends(specification, view, preset, columns)
        _cells(specification, view, preset, width, height)


def _worded(view: dict[str, Any], channel: str) -> bool:
    """Whether the chart itself says how the names along an axis are written."""
    return any("labelExpr" in (given.get("axis") or {}) for given in encoded(view, channel))


def _axes(view: dict[str, Any], channel: str, told: Mapping[str, Any]) -> None:
    for given in encoded(view, channel):
        if "axis" not in given or isinstance(given["axis"], dict):
            given["axis"] = {**(given.get("axis") or {}), **told}


def _vertical(specification: dict[str, Any], view: dict[str, Any], preset: Preset) -> None:
    names = shown(specification, view, "y")
    if not names:
        return _axes(view, "y", {"tickCount": preset.ticks})
    if _worded(view, "y"):
        return None
    room = NAMES_ROOM * preset.width / counts(specification)[0]
    told = short(next(encoded(view, "y"))["field"], names)
    lines = {name: lines_of(one, preset.label, room) for name, one in told.items()}
    more = {"labelOverlap": False, "labelLineHeight": preset.label * 1.1}
    return _axes(view, "y", {"labelExpr": looked_up(lines), **more})


def _horizontal(
    specification: dict[str, Any], view: dict[str, Any], preset: Preset, width: float
) -> None:
    names = shown(specification, view, "x")
    if not names:
        return _axes(view, "x", {"tickCount": preset.ticks})
    if _worded(view, "x"):
        return None
    told = short(next(encoded(view, "x"))["field"], names)
    step, size = width / len(names), preset.label
    lines = {name: lettering.wrapped(one, size, step - 0.4 * size) for name, one in told.items()}
    angle = (next(encoded(view, "x")).get("axis") or {}).get("labelAngle")
    fits = all(lettering.widest(one, size) <= step for one in lines.values())
    if fits and not angle:
        more = {"labelExpr": looked_up(lines), "labelAngle": 0}
    else:
        close = step * 0.77 < size * 1.1  # slanting lines of text would touch
        plain = {name: [one] for name, one in told.items()}
        more = {"labelExpr": looked_up(plain), "labelAngle": -90 if close else SLANT}
    return _axes(view, "x", {**more, "labelOverlap": False})


def _titles(view: dict[str, Any], preset: Preset, width: float, height: float) -> None:
    for channel, room in (("x", width), ("y", height)):
        for given in encoded(view, channel):
            for holder in (given, given.get("axis")):
                if isinstance(holder, dict) and isinstance(holder.get("title"), str | list):
                    text = holder["title"]
                    text = text if isinstance(text, str) else " ".join(text)
                    holder["title"] = lettering.balanced(
                        text, preset.title, max(room, 8 * preset.title)
                    )


def _listed(view: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The encodings that draw a legend, by the title and field that they share."""
    found: dict[str, list[dict[str, Any]]] = {}
    for channel in LEGENDS:
        for given in encoded(view, channel):
            if given.get("legend", True) is not None:
                key = str(given.get("field"))
                found.setdefault(key, []).append({"channel": channel, "given": given})
    return found


def _entries(
    specification: dict[str, Any], view: dict[str, Any], preset: Preset, room: float
) -> dict[str, list[list[str]]]:
    """The names of every legend that lists names, in lines of at most that width."""
    found = {}
    for field, uses in _listed(view).items():
        names = shown(specification, view, uses[0]["channel"])
        if names:
            told = short(field, names)
            found[field] = [lines_of(told[name], preset.label, room) for name in names]
    return found


def _beside(preset: Preset) -> float:
    """What an entry takes besides its text: the symbol and what lies between columns."""
    return preset.label * 3.6


def columns_on_the_right(specification: dict[str, Any], preset: Preset) -> int:
    """In how many columns the legends of names stand on the right; 0 where they go below.

    On a page that may not grow the right may take more columns, as many as leave the plot half of the page.
    """
    if preset.legend == "bottom" or counts(specification) != (1, 1):
        return 0
    most = int(MOST_ROWS * preset.height / (preset.label * 1.5))
    needed = 1
    for view in plots(specification):
        every = _entries(specification, view, preset, LEGEND_ROOM * preset.width - _beside(preset))
        lines = [line for found in every.values() for entry in found for line in entry]
        room = max(1, most - 4 * (len(_listed(view)) - 1) - 2)
        columns = -(-len(lines) // room) or 1
        entry = lettering.widest(lines, preset.label) + _beside(preset)
        share = LEGEND_ROOM if columns == 1 or preset.grows else HALF
        if entry * columns > share * preset.width or (columns > 1 and preset.grows):
            return 0
        needed = max(needed, columns)
    return needed


def _legends(
    specification: dict[str, Any], view: dict[str, Any], preset: Preset, columns: int
) -> None:
    for field, uses in _listed(view).items():
        for use in uses:
            legend = use["given"]["legend"] = dict(use["given"].get("legend") or {})
            names = shown(specification, view, use["channel"])
            gradient = not names and use["channel"] in ("color", "fill", "stroke")
            below = columns == 0 or gradient or legend.get("orient") == "bottom"
            legend |= {"orient": "bottom" if below else "right", "titleLimit": 0}
            if names:
                own = {"labelExpr": legend["labelExpr"]} if "labelExpr" in legend else {}
                legend |= _listing(field, names, preset, 0 if below else columns) | own
            else:
                legend["direction"] = "horizontal" if below else "vertical"
            if use["channel"] == "size":
                legend["tickCount"] = 3


def _listing(field: str, names: Sequence[str], preset: Preset, columns: int) -> dict[str, Any]:
    """How a legend lists names: in that many columns on the right, or (0) in as many as fit below."""
    room = (LEGEND_ROOM if columns else 1.0) * preset.width - 2 * preset.label
    told = short(field, names)
    entries = {name: lines_of(told[name], preset.label, room - _beside(preset)) for name in names}
    fits = lettering.columns_of(list(entries.values()), preset.label, _beside(preset), room)
    return {
        "columns": columns or fits, "labelExpr": looked_up(entries), "symbolLimit": 0,
        "labelLineHeight": preset.label * 1.1,
    }  # fmt: skip


def _cells(
    specification: dict[str, Any],
    view: dict[str, Any],
    preset: Preset,
    width: float,
    height: float,
) -> None:
    """Numbers in the cells of a grid: without the leading zero, upright or not at all where they do not fit."""
    across, along = (len(shown(specification, view, channel)) for channel in ("x", "y"))
    if not across or not along:
        return
    step, row = width / across, height / along
    for unit in marks(view):
        text = unit.get("encoding", {}).get("text")
        if kind(unit) != "text" or not isinstance(text, dict):
            continue
        read = f"datum['{text['field']}']"
        told = f"format({read}, '{text['format']}')" if "format" in text else f"'' + {read}"
        if lettering.width("-0.00", preset.label) + 1 > step:
            del unit["encoding"]["text"]
            unit["mark"]["text"] = {"expr": f"replace({told}, '0.', '.')"}
        if lettering.width("-.00", preset.label) + 1 > step:
            unit["mark"]["angle"] = -90
            unit["mark"]["opacity"] = float(
                step >= preset.label and row >= lettering.width("-.00", preset.label)
            )
