"""Names beside their points: each where nothing lies under it, shortened where it must be, left out where it cannot be."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from backend.charts import lettering
from backend.charts.presets import Preset
from backend.charts.scene import Box, Scene, Thing
from backend.charts.theme import PLACED
from backend.charts.views import copied, every_mark, kind, plots

NUMBER = "__place"  # counts the texts of a layer, in the order in which they are drawn
# Right, left, above, below, and between: the sides of a point in the order in which readers look for its name.
SIDES = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1))
RINGS = (0.15, 0.6, 1.2, 2.0)  # distances from the point, in font sizes
OVER_LINE = 0.6  # what a name pays for each square point of a line that it hides


@dataclass(frozen=True)
class Place:
    """Where a name goes, from its point; the empty text stands nowhere."""

    text: str
    dx: float
    dy: float


def texts(specification: dict[str, Any]) -> list[dict[str, Any]]:
    """The layers whose texts may be moved."""
    return [
        unit for unit in every_mark(specification)
        if kind(unit) == "text" and isinstance(unit["mark"], dict) and unit["mark"].get("style") == PLACED
    ]  # fmt: skip


def prepared(specification: dict[str, Any]) -> None:
    """Name the movable texts so that they are found again, give each a halo, and let them take no room until placed."""
    for view in plots(specification):
        _haloed(view)
    for number, unit in enumerate(texts(specification)):
        unit["name"] = f"{PLACED}_{number}"
        unit["mark"] |= {"dx": 0, "dy": 0, "align": "center", "baseline": "middle", "fontSize": 0.1}


def _haloed(view: dict[str, Any]) -> None:
    """Put white outlines behind movable texts that have none: they stand over lines."""
    layers: list[dict[str, Any]] = []
    for unit in view.get("layer", []):
        mark = unit.get("mark")
        if isinstance(mark, dict) and mark.get("style") == PLACED and "stroke" not in mark:
            behind = layers[-1]["mark"] if layers and "mark" in layers[-1] else {}
            if not (
                isinstance(behind, dict) and behind.get("style") == PLACED and "stroke" in behind
            ):
                halo = {**mark, "color": "#ffffff", "stroke": "#ffffff", "strokeWidth": 2}
                layers.append({**copied(unit), "mark": halo})
        layers.append(unit)
    if layers:
        view["layer"] = layers


def placed(specification: dict[str, Any], drawn: Scene, preset: Preset) -> dict[str, Any]:
    """The specification with a place for every movable text that has one."""
    made = copied(specification)
    units = texts(made)
    found = _places(units, drawn, preset)
    for unit in units:
        _move(unit, found.get(str(unit["name"]), []), preset)
    return made


def _move(unit: dict[str, Any], places: Sequence[Place], preset: Preset) -> None:
    transform = {"window": [{"op": "row_number", "as": NUMBER}]}
    unit["transform"] = [*unit.get("transform", []), transform]
    unit["encoding"] = {k: v for k, v in unit["encoding"].items() if k != "text"}

    def listed(values: list[Any]) -> dict[str, str]:
        return {"expr": f"({json.dumps(values, ensure_ascii=False)})[datum.{NUMBER} - 1]"}

    unit["mark"] |= {
        "text": listed([place.text for place in places]),
        "dx": listed([round(place.dx, 2) for place in places]),
        "dy": listed([round(place.dy, 2) for place in places]),
        "fontSize": preset.label,
    }


def _places(
    units: Sequence[dict[str, Any]], drawn: Scene, preset: Preset
) -> dict[str, list[Place]]:
    """Places by layer: a halo stands where its text does, and bold names, those of references, choose first."""
    inside = [thing for thing in drawn.things if thing.role == "mark" or thing.layer]
    solid = [thing.box for thing in inside if _solid(thing)]
    lines = [box for thing in inside for box in thing.pieces]
    mine: dict[str, list[Thing]] = {str(unit["name"]): [] for unit in units}
    for thing in drawn.things:
        name = thing.layer.removesuffix("_marks")
        if name in mine:
            mine[name].append(thing)
    found: dict[str, list[Place]] = {}
    first = sorted(units, key=lambda unit: unit["mark"].get("fontWeight") != "bold")
    known: dict[tuple[Any, ...], list[Place]] = {}
    for unit in first:
        wanted = mine[str(unit["name"])]
        key = tuple((thing.x, thing.y, thing.text) for thing in wanted)
        if key not in known:
            known[key] = []
            for thing in wanted:
                place, box = _best(thing, unit, inside, solid, lines, preset)
                known[key].append(place)
                solid += [box] if box else []
        found[str(unit["name"])] = known[key]
    return found


def _solid(thing: Thing) -> bool:
    moves = thing.layer.startswith(PLACED)
    return thing.kind == "symbol" or (thing.kind == "text" and not moves and bool(thing.text))


def _best(
    thing: Thing,
    unit: dict[str, Any],
    inside: Sequence[Thing],
    solid: Sequence[Box],
    lines: Sequence[Box],
    preset: Preset,
) -> tuple[Place, Box | None]:
    """The cheapest free place of the longest name that has one; a reference takes the least bad one."""
    bold = unit["mark"].get("fontWeight") == "bold"
    radius = max((_radius(other) for other in inside if _same(other, thing)), default=1.0)
    left, top, right, bottom = thing.group
    worst: tuple[float, Place, Box] | None = None
    for text in _shorter(thing.text):
        free: list[tuple[float, Place, Box]] = []
        for cost, place, box in _candidates(thing, text, radius, bold, preset.label):
            if box.left < left or box.right > right or box.top < top or box.bottom > bottom:
                continue
            hidden = sum(box.shared(other) for other in solid)
            cost += OVER_LINE * sum(box.shared(_thick(other)) for other in lines)
            if hidden <= 0.5:
                free.append((cost, place, box))
            elif worst is None or hidden + cost < worst[0]:
                worst = hidden + cost, place, box
        if free:
            return min(free, key=lambda one: one[0])[1:]
    return worst[1:] if bold and worst else (Place("", 0, 0), None)


def _thick(box: Box) -> Box:
    return Box(box.left - 0.25, box.top - 0.25, box.right + 0.25, box.bottom + 0.25)


def _same(other: Thing, thing: Thing) -> bool:
    return other.kind == "symbol" and abs(other.x - thing.x) + abs(other.y - thing.y) < 0.5


def _radius(thing: Thing) -> float:
    return (thing.box.right - thing.box.left) / 2


def _shorter(text: str) -> Iterator[str]:
    """The whole name, its last stage, and what that stage's parentheses say, as far as they differ."""
    last = text.rpartition(" → ")[2]
    told = last.partition(" (")[2].removesuffix(")")
    yield from dict.fromkeys(one for one in (text, last, told) if one)


def _candidates(
    thing: Thing, text: str, radius: float, bold: bool, size: float
) -> Iterator[tuple[float, Place, Box]]:
    """(cost, place, box) around a point; the text is centred on its place."""
    wide, high = lettering.width(text, size, bold) / 2, size / 2
    for far, ring in enumerate(RINGS):
        gap = radius + ring * size
        for rank, (across, along) in enumerate(SIDES):
            near = 0.7 if across and along else 1.0
            dx, dy = across * (near * gap + wide), along * (near * gap + high)
            x, y = thing.x + dx, thing.y + dy
            box = Box(x - wide, y - high, x + wide, y + high)
            yield rank + 6.0 * far, Place(text, dx, dy), box
