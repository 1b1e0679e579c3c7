"""What differs between recipes: every stage and every resolved parameter of some configurations, side by side."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

ABSENT = "—"  # a stage, or a parameter of another part: not there at all


def side_by_side(rows: Sequence[Mapping[str, Any]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(what differs, what is equal): a line a parameter, a column a configuration, values as text, "—" where absent.

    The lines are the method, then stage by stage the part and its parameters; nested ones have dots.
    """
    described = {row["configuration"]: _described(row) for row in rows}
    stages: dict[
        str, dict[str, None]
    ] = {}  # every stage with its lines, in the order in which they are first seen
    for one in described.values():
        for stage, name in one:
            stages.setdefault(stage, {})[name] = None
    lines = [(stage, name) for stage, names in stages.items() for name in names]
    table = pd.DataFrame(
        {label: [one.get(line, ABSENT) for line in lines] for label, one in described.items()},
        index=pd.Index([" ".join(line).strip() for line in lines], name="parameter"),
        dtype=object,
    )
    same = table.nunique(axis=1) == 1
    return table[~same], table[same]


def _described(row: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """(stage, parameter) → its value as text; the part's own name under an empty parameter."""
    found = {("method", ""): str(row["method"])}
    seen: Counter[str] = Counter()
    for stage in row["stages"]:
        seen[stage["stage"]] += 1
        count = seen[stage["stage"]]
        place = stage["stage"] if count == 1 else f"{stage['stage']} {count}"
        found[place, ""] = str(stage["name"])
        found |= {(place, name): value for name, value in _flat(stage["parameters"])}
    return found


def _flat(parameters: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in parameters.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", _written(value)


def _written(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(_written, value)) or "empty"
    return str(value)
