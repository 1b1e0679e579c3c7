"""What an attacker and a search chose, in words."""

from collections.abc import Mapping
from typing import Any


def choice_words(cell: Mapping[str, Any], has_steps: bool = True) -> str:
    """The cell of an attack's grid and the step that counted: "after 40 attack steps at learning rate 0.001"."""
    rate = cell["parameters"].get("learning_rate")
    at = f" at learning rate {rate:g}" if rate else ""
    if not has_steps:
        return f"at once{at}"
    if not cell["step"]:
        return "before the first attack step"
    return f"after {cell['step']} attack step{'s' * (cell['step'] != 1)}{at}"


def takes_steps(document: Mapping[str, Any], attack: str) -> bool:
    """Whether the attack of that name goes on step by step."""
    return next((bool(one["has_steps"]) for one in document["attacks"] if one["name"] == attack), True)  # fmt: skip


def search_words(stages: Any) -> list[str]:
    """A sentence for every stage whose parameters were searched for."""
    found = []
    for stage in stages:
        search = stage["parameters"].get("search")
        if search:
            varied = " and ".join(name.replace("_", " ") for name in search["space"])
            found.append(
                f"Best of {search['trials']}: {search['trials']} trials of {stage['name']} with different values of {varied} were"
                " trained, and the one that forgets most on validation data was taken, of those that keep a utility of"
                f" {search['utility_floor']:g} there; no attack and no score took part in that choice."
            )
    return found
