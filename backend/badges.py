"""What a reader must know about a recipe at a glance: against whom it holds, and which data it takes."""

from collections.abc import Iterable, Mapping
from typing import Any

from backend import catalogue
from backend.stage import UserError


def of_method(declared: Mapping[str, Any]) -> list[str]:
    """Both badges of one method: threat model and data access."""
    model = "black-box only" if declared["threat_model"] == "black_box" else "white-box"
    return [model, data(declared["data_access"])]


def of_recipe(stages: Iterable[Mapping[str, Any]]) -> list[str]:
    """The badges of a recipe that are worth a word: those in which it differs from most.

    A wrapper makes the whole of it black-box only; its data are those that any stage takes.
    """
    told = list(stages)
    declared = [one for one in (_declared(stage["name"]) for stage in told) if one is not None]
    black = any(one["threat_model"] == "black_box" for one in declared)
    found = ["black-box only"] if black or any(s.get("stage") == "wrap" for s in told) else []
    if not told or len(declared) < len(told):
        return found
    groups = {word for one in declared for word in one["data_access"].split(" and ")} - {"none"}
    all_labels = {"forget", "retain"} <= groups
    return found if all_labels else [*found, data(" and ".join(sorted(groups)) or "none")]


def _declared(name: str) -> Mapping[str, Any] | None:
    """What a method declares; None where others' results name one that is not known here."""
    try:
        return catalogue.part("methods", name).declared
    except UserError:
        return None


def data(access: str) -> str:
    """Data access in words."""
    if access == "none":
        return "no data"
    return f"{access} data" if " and " in access else f"{access} data only"
