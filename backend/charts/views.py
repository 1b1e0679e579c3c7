"""Walking through a Vega-Lite specification: its views, its marks, and the data that each of them reads."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

COMPOSED = ("hconcat", "vconcat", "concat")
NAMED_TYPES = ("nominal", "ordinal")


def copied(specification: Mapping[str, Any]) -> dict[str, Any]:
    """A copy to change; the data, which nothing here changes, are the same."""
    return {
        name: value if name == "datasets" else copy.deepcopy(value)
        for name, value in specification.items()
    }


def plots(specification: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The views that have a width and a height: single and layered ones, however they are put together."""
    for name in COMPOSED:
        for child in specification.get(name, []):
            yield from plots(child)
    if "spec" in specification:
        yield from plots(specification["spec"])
    elif not any(name in specification for name in COMPOSED):
        yield specification


def marks(view: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The single views of a plot, in the order in which they are drawn."""
    layers = view.get("layer")
    if layers is None:
        yield view
        return
    for layer in layers:
        yield from marks(layer)


def every_mark(specification: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The single views of all plots."""
    for view in plots(specification):
        yield from marks(view)


def kind(unit: Mapping[str, Any]) -> str:
    """What a single view draws: point, line, text …"""
    mark = unit.get("mark", "")
    return str(mark if isinstance(mark, str) else mark.get("type", ""))


def encoded(view: dict[str, Any], channel: str) -> Iterator[dict[str, Any]]:
    """What the view's marks, and the view itself for all of them, say of a channel where it shows a field."""
    for unit in {id(one): one for one in (view, *marks(view))}.values():
        given = unit.get("encoding", {}).get(channel)
        if isinstance(given, dict) and ("field" in given or "aggregate" in given):
            yield given


def values(specification: Mapping[str, Any], view: dict[str, Any], field: str) -> list[str]:
    """The different values of a field in the data of a view's marks, as texts, in their order."""
    found: dict[str, None] = {}
    for unit in marks(view):
        data = unit.get("data") or view.get("data") or specification.get("data") or {}
        rows = data.get("values") or specification.get("datasets", {}).get(data.get("name"), [])
        found |= {
            _plain(row[field]): None for row in rows if field in row and row[field] is not None
        }
    return list(found)


def _plain(value: Any) -> str:
    """A value as Vega writes it on an axis: whole numbers without a point."""
    return f"{value:g}" if isinstance(value, float) and value.is_integer() else str(value)


def shown(specification: Mapping[str, Any], view: dict[str, Any], channel: str) -> list[str]:
    """The names along an axis or in a legend: the scale's own order, else those of the data; empty for numbers."""
    for given in encoded(view, channel):
        if given.get("type") not in NAMED_TYPES or "field" not in given:
            continue
        domain = (given.get("scale") or {}).get("domain")
        if isinstance(domain, list):
            return [_plain(value) for value in domain]
        return values(specification, view, given["field"])
    return []


def counts(specification: dict[str, Any]) -> tuple[int, int]:
    """How many plots stand side by side and above each other."""
    for name in COMPOSED:
        children = specification.get(name, [])
        if children:
            inner = [counts(child) for child in children]
            columns = {"hconcat": len(inner), "vconcat": 1}.get(name, specification.get("columns", len(inner)))  # fmt: skip
            lines = -(-len(inner) // columns)
            return columns * max(a for a, _ in inner), lines * max(b for _, b in inner)
    if "spec" in specification:
        return _faceted(specification)
    return 1, 1


def _faceted(specification: dict[str, Any]) -> tuple[int, int]:
    """The plots of a facet, as many as its fields have values."""
    facet, data = specification.get("facet", {}), specification.get("data", {})
    held = data.get("values") or specification.get("datasets", {}).get(data.get("name"), [])

    def many(given: Any) -> int:
        field = given.get("field") if isinstance(given, dict) else None
        return max(1, len({str(row.get(field)) for row in held})) if field else 1

    if "field" in facet:
        count = many(facet)
        columns = min(int(specification.get("columns", count)), count)
        return columns, -(-count // columns)
    return many(facet.get("column")), many(facet.get("row"))


def reflowed(specification: dict[str, Any], across: int) -> None:
    """Let no more than `across` plots stand side by side; the others go below. The specification is changed."""
    for name in COMPOSED:
        for child in specification.get(name, []):
            reflowed(child, across)
    if "hconcat" in specification and counts(specification)[0] > across:
        specification["concat"] = specification.pop("hconcat")
        specification["columns"] = max(1, across)
    elif "columns" in specification:
        specification["columns"] = max(1, min(int(specification["columns"]), across))
