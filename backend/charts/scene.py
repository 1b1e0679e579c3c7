"""Where everything of a chart stands once it is drawn: boxes of its texts, symbols and lines, in points."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import vl_convert

from backend.charts import lettering

ABOVE = {"top": 0.0, "middle": 0.5, "bottom": 1.0, "alphabetic": 0.8, "line-top": 0.0}
PIECE = 4.0  # points of a line that one box covers
BEFORE = {"left": 0.0, "center": 0.5, "right": 1.0}


@dataclass(frozen=True)
class Box:
    """The rectangle that a mark takes; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def covers(self, other: "Box", by: float = 0.0) -> bool:
        """Whether the two share more than a strip of that width."""
        across = min(self.right, other.right) - max(self.left, other.left)
        along = min(self.bottom, other.bottom) - max(self.top, other.top)
        return across > by and along > by

    def shared(self, other: "Box") -> float:
        """The area of what both cover."""
        across = min(self.right, other.right) - max(self.left, other.left)
        along = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, across) * max(0.0, along)


@dataclass(frozen=True)
class Thing:
    """One drawn mark: its kind (text, symbol, rule …), role (mark, axis-label …), layer, place within it, and box."""

    kind: str
    role: str
    layer: str
    number: int
    box: Box
    text: str
    size: float  # of the font
    angle: float
    stroke: float  # width of its line, 0 without
    x: float
    y: float
    group: tuple[
        float, float, float, float
    ]  # left, top, right, bottom of the plot that it stands in
    pieces: tuple[Box, ...] = ()  # of a line or rule: boxes along it


@dataclass(frozen=True)
class Scene:
    """A drawn chart: its whole width and height, and everything in it."""

    width: float
    height: float
    things: list[Thing]


def scene(specification: Mapping[str, Any]) -> Scene:
    """The chart of a Vega-Lite specification as it will be drawn."""
    drawn = vl_convert.vegalite_to_scenegraph(dict(specification))
    left, top = drawn["origin"]
    start = (left, top, left, top)
    things = list(_things(drawn["scenegraph"], left, top, start))
    return Scene(drawn["width"], drawn["height"], things)


def _things(
    mark: Mapping[str, Any], x: float, y: float, group: tuple[float, float, float, float]
) -> Iterator[Thing]:
    previous: Mapping[str, Any] | None = None
    for number, item in enumerate(mark.get("items", [])):
        here = x + item.get("x", 0.0), y + item.get("y", 0.0)
        if "items" in item:
            inner = group
            if "width" in item and mark.get("role") in ("frame", "scope", "cell"):
                inner = (*here, here[0] + (item["width"] or 0), here[1] + (item["height"] or 0))
            for child in item["items"]:
                yield from _things(child, *here, inner)
            continue
        yield _thing(mark, item, number, x, y, group, previous)
        previous = item


def _thing(
    mark: Mapping[str, Any],
    item: Mapping[str, Any],
    number: int,
    x: float,
    y: float,
    group: tuple[float, float, float, float],
    previous: Mapping[str, Any] | None,
) -> Thing:
    kind = str(mark["marktype"])
    text = item.get("text", "")
    lines = [str(line) for line in text] if isinstance(text, list) else [str(text)]
    box = _BOXES.get(kind, _rule)(item, lines, previous if kind in ("line", "area") else None)
    moved = Box(box.left + x, box.top + y, box.right + x, box.bottom + y)
    seen = item.get("opacity", 1) and item.get("stroke", None) not in (None, "transparent")
    return Thing(
        kind, str(mark.get("role", "")), str(mark.get("name") or ""), number, moved, "\n".join(lines).strip(),
        float(item.get("fontSize") or 11), float(item.get("angle") or 0),
        float(item.get("strokeWidth") or 1) if seen else 0.0,
        x + item.get("x", 0.0), y + item.get("y", 0.0), group,
        tuple(_pieces(item, previous, x, y)) if kind in ("line", "rule") else (),
    )  # fmt: skip


def _pieces(
    item: Mapping[str, Any], previous: Mapping[str, Any] | None, x: float, y: float
) -> Iterator[Box]:
    """Short boxes along a rule, or along a line's part since the point before; a step has its corner."""
    end = item.get("x", 0.0), item.get("y", 0.0)
    start = item.get("x2", end[0]), item.get("y2", end[1])
    if previous is not None:
        start = previous.get("x", 0.0), previous.get("y", 0.0)
    corner = {"step-before": (start[0], end[1]), "step-after": (end[0], start[1])}
    between = corner.get(str(item.get("interpolate")))
    path = [start, between, end] if between else [start, end]
    for (x1, y1), (x2, y2) in pairwise(path):
        count = max(1, math.ceil(math.hypot(x2 - x1, y2 - y1) / PIECE))
        for k in range(count):
            a, b = k / count, (k + 1) / count
            across = [x + x1 + (x2 - x1) * part for part in (a, b)]
            along = [y + y1 + (y2 - y1) * part for part in (a, b)]
            yield Box(min(across), min(along), max(across), max(along))


def _text(item: Mapping[str, Any], lines: list[str], previous: Any) -> Box:
    """The box of a text; of a slanting one the upright box around it."""
    size = float(item.get("fontSize") or 11)
    bold = str(item.get("fontWeight", "")) in ("bold", "700", "600")
    wide = lettering.widest(lines, size, bold)
    limit = item.get("limit") or 0
    wide = min(wide, limit) if limit > 0 else wide
    line = float(item.get("lineHeight") or size * lettering.LEADING)
    high = size + line * (len(lines) - 1)
    left = item.get("dx", 0) - BEFORE.get(str(item.get("align")), 0.0) * wide
    # The baseline is the first line's; the others follow below it.
    top = item.get("dy", 0) - ABOVE.get(str(item.get("baseline", "alphabetic")), 0.8) * size
    turn = math.radians(float(item.get("angle") or 0))
    corners = [
        (a * math.cos(turn) - b * math.sin(turn), a * math.sin(turn) + b * math.cos(turn))
        for a in (left, left + wide)
        for b in (top, top + high)
    ]
    return _at(item, *zip(*corners, strict=True))


def _symbol(item: Mapping[str, Any], lines: list[str], previous: Any) -> Box:
    # Vega's symbols have about the area of a circle; a path's is twice as wide as its radius.
    radius = math.sqrt(max(float(item.get("size") or 0), 0.0)) / 2
    return _at(item, (-radius, radius), (-radius, radius))


def _rectangle(item: Mapping[str, Any], lines: list[str], previous: Any) -> Box:
    return _at(item, (0.0, item.get("width", 0.0)), (0.0, item.get("height", 0.0)))


def _rule(item: Mapping[str, Any], lines: list[str], previous: Any) -> Box:
    """From the item's one end to the other; of a line, from the point before."""
    x, y = item.get("x", 0.0), item.get("y", 0.0)
    other = previous or {"x": item.get("x2", x), "y": item.get("y2", y)}
    return _at(item, (0.0, other.get("x", 0.0) - x), (0.0, other.get("y", 0.0) - y))


def _at(item: Mapping[str, Any], across: Any, along: Any) -> Box:
    x, y = item.get("x", 0.0), item.get("y", 0.0)
    return Box(x + min(across), y + min(along), x + max(across), y + max(along))


_BOXES = {"text": _text, "symbol": _symbol, "rect": _rectangle}
