"""Search of a stage's parameters: which trials there are, from the study file alone. No torch here."""

import math
from typing import Any

from backend import catalogue
from backend.data import stream
from backend.stage import UserError

KEYS = ("trials", "space", "utility_floor")
MOST_TRIALS = 200


def checked(method: catalogue.Part, search: Any) -> dict[str, Any]:
    """The search table with its defaults written out; UserError says what is wrong with it."""
    if not isinstance(search, dict) or not search.get("space"):
        raise UserError(f"search = {search!r} must be a table with a space of parameters.")
    for key in search:
        if key not in KEYS:
            raise UserError(f"search has no key {key!r}; its keys: {', '.join(KEYS)}.")
    trials, floor = search.get("trials", 6), search.get("utility_floor", 0.95)
    if type(trials) is not int or not 1 <= trials <= MOST_TRIALS:
        raise UserError(f"search: trials = {trials!r} must be a whole number, 1 to {MOST_TRIALS}.")
    if not isinstance(floor, int | float) or isinstance(floor, bool):
        raise UserError(f"search: utility_floor = {floor!r} is not a number.")
    conditions = {key for needed in method.declared["needs"].values() for key in needed}
    for name, axis in search["space"].items():
        if name in conditions:
            raise UserError(
                f"search: {name} decides which models {method.name} needs; give a list to compare its values."
            )
        for value in _ends(method, name, axis):
            method.check({name: value})
    return {"trials": trials, "space": dict(search["space"]), "utility_floor": float(floor)}


def _ends(method: catalogue.Part, name: str, axis: Any) -> list[Any]:
    """The values of an axis that must fit its parameter: both ends of a range, or all choices."""
    known = {parameter.name: parameter.type for parameter in method.parameters}
    if isinstance(axis, dict) and set(axis) == {"choices"} and isinstance(axis["choices"], list):
        if not axis["choices"]:
            raise UserError(f"search: {name} has no choices.")
        return list(axis["choices"])
    numbers = isinstance(axis, list) and len(axis) == 2
    if not numbers or not all(type(end) in (int, float) for end in axis) or axis[0] >= axis[1]:
        raise UserError(
            f"search: {name} = {axis!r} must be a range of two numbers, the smaller first, or a table of choices."
        )
    if name in known and known[name] not in ("int", "float"):
        raise UserError(f"search: {name} is no number; give a table of choices.")
    return [float(end) if known.get(name) == "float" else end for end in axis]


def trials(method: catalogue.Part, search: dict[str, Any]) -> list[dict[str, Any]]:
    """The values that every trial gives the searched parameters, the same on every machine.

    A Latin hypercube: along every axis each trial has a stratum of its own. Ranges are logarithmic where both ends are
    positive and a factor of ten apart.
    """
    types = {parameter.name: parameter.type for parameter in method.parameters}
    count = search["trials"]
    found: list[dict[str, Any]] = [{} for _ in range(count)]
    for name, axis in sorted(search["space"].items()):
        numbers = stream(0, "search", method.name, name, count)
        places = (numbers.permutation(count) + numbers.random(count)) / count
        for trial, place in zip(found, places, strict=True):
            value = _at(axis, float(place))
            whole = types[name].startswith("int") and not isinstance(axis, dict)
            trial[name] = round(value) if whole else value
    return found


def _at(axis: Any, place: float) -> Any:
    """The value at a place from 0 to 1 along an axis; numbers with three digits, so that people can read them."""
    if isinstance(axis, dict):
        return axis["choices"][min(int(place * len(axis["choices"])), len(axis["choices"]) - 1)]
    low, high = axis
    if low > 0 and high / low >= 10:
        value = math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
    else:
        value = low + place * (high - low)
    return float(f"{value:.3g}")
