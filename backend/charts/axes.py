"""What can stand on an axis: the objectives, every declared metric of a study, and what a configuration cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend import catalogue
from backend.charts.theme import DIRECTIONS, NAMES, title_of
from backend.tables import column_of

PARTS = ("forget", "retain", "placebo")
ARROWS = {"up": "↑", "down": "↓", "": ""}
OPPOSITE = {"up": "down", "down": "up"}
WAYS = {"higher": "up", "lower": "down", "up": "up", "down": "down"}  # importers' words and ours
# Columns of the frame besides objectives and metrics: name → (label, unit).
COSTS = {
    "seconds": ("seconds", ""),
    "flops": ("FLOPs", ""),
    "steps": ("training steps", ""),
    "tokens": ("training tokens", ""),
    "peak_memory": ("peak memory", "bytes"),
    "inference_overhead": ("inference overhead", "× the base"),
    "search_flops": ("FLOPs of the search", ""),
}

# What the frontier is drawn over before somebody chooses.
FIRST = {"x": "utility", "y": "robust_forget_quality", "size": "compute"}
# Others' results name their metrics themselves.
ALIKE = {
    "x": ("utility", "retain"),
    "y": ("forget_quality", "uds", "depth", "forget"),
    "size": ("priv", "mem"),
}


@dataclass(frozen=True)
class Axis:
    """A column of the frontier frame as a chart shows it; `better` is "up", "down", or "" where no end is better."""

    name: str
    label: str
    better: str
    unit: str = ""
    low: float | None = None
    high: float | None = None

    def title(self, anchor: str = "oracle") -> str:
        """The axis title: words, which way is better, unit."""
        if self.name in NAMES:
            return title_of(self.name, anchor)
        told = " ".join(word for word in (ARROWS[self.better], self.unit) if word)
        name = self.label[:1].upper() + self.label[1:]
        return f"{name} ({told})" if told else name


OBJECTIVES = {name: Axis(name, NAMES[name], DIRECTIONS[name]) for name in NAMES}


def axis_of(name: str, axes: Mapping[str, Axis] | None = None) -> Axis:
    """The axis of a column; one that nobody declared has a plain name and no better end."""
    known = (axes or {}).get(name) or OBJECTIVES.get(name)
    return known or Axis(name, name.replace("_", " "), "")


def axes_of(document: Mapping[str, Any]) -> dict[str, Axis]:
    """All that a frontier document can be drawn over, objectives first; what no row knows is left out.

    On forget data less capability is better, on retain data more. A metric of the whole model says itself which end is
    better, or none is.
    """
    rows, ours = document["rows"], _declared_here()
    found = {n: OBJECTIVES[n] for n in OBJECTIVES if any(_known(row[n]) for row in rows)}
    for told in ("metrics", "pair_metrics"):
        for name in dict.fromkeys(name for row in rows for name in row[told]):
            if any(_known(row[told].get(name)) for row in rows):
                found[column_of(name)] = _of_metric(name, document["metrics"], ours)
    for name, (label, unit) in COSTS.items():
        if any(row[name] for row in rows):
            found[name] = Axis(name, label, "down", unit, 0.0)
    return found


def first_axes(names: Sequence[str]) -> list[str]:
    """Across, up and size: the objectives where there are any, else what is called like them, else the first columns that are known."""
    found: list[str] = []
    for key, wanted in FIRST.items():
        left = [name for name in names if name not in found] or list(names)
        alike = [name for word in ALIKE[key] for name in left if word in name]
        found.append(wanted if wanted in names else (alike or left)[0])
    return found


def _known(told: Mapping[str, Any] | None) -> bool:
    return told is not None and told["mean"] is not None


Declared = Mapping[str, Mapping[str, Any]]


def _declared_here() -> Declared:
    """What this version's metrics declare, by name."""
    return {one.name: one.declared for one in catalogue.parts("metrics")}


def _of_metric(name: str, declared: Declared, ours: Declared) -> Axis:
    part, metric = "", name
    if name not in declared:
        head, _, rest = name.partition("_")
        part, metric = (head, rest) if head in PARTS and rest in declared else ("", name)
    told = declared.get(metric, {})
    low, high = told.get("range") or (None, None)
    label = str(told.get("label") or metric).replace("_", " ")
    return Axis(
        column_of(name),
        f"{label} on {part} data" if part else label,
        _better(metric, part, told, ours),
        str(told.get("unit") or ""),
        low,
        high,
    )


def _better(metric: str, part: str, told: Mapping[str, Any], ours: Declared) -> str:
    if "better" in told:
        return WAYS.get(str(told["better"]), "")
    direction = str(told.get("direction", ""))
    if part in ("forget", "retain") and direction in OPPOSITE:
        return direction if part == "retain" else OPPOSITE[direction]
    return str(ours.get(metric, {}).get("better", ""))
