"""How configurations are written where room is short."""

import re
from collections.abc import Iterable, Sequence

PARAMETERS = re.compile(r"(.*?)(?: \(([^()]*)\))?")  # of a stage in a configuration's name


def family(label: str) -> str:
    """The readable name of a configuration's method: its last stage without parameters."""
    return label.rpartition(" → ")[2].partition(" (")[0]


def told_apart(labels: Iterable[str]) -> dict[str, str]:
    """Each configuration's name without the parameters that all configurations share wherever they have that stage."""
    stages = {label: [_parameters(stage) for stage in label.split(" → ")] for label in labels}
    common: dict[str, set[str]] = {}
    for found in stages.values():
        for head, told in found:
            common[head] = common[head] & set(told) if head in common else set(told)
    return {
        label: " → ".join(_written(head, [one for one in told if one not in common[head]]) for head, told in found)
        for label, found in stages.items()
    }  # fmt: skip


def _parameters(stage: str) -> tuple[str, list[str]]:
    """A stage's label, and what is written in the parentheses behind it."""
    found = PARAMETERS.fullmatch(stage)
    head, told = found.groups() if found else (stage, None)
    return head, told.split(", ") if told else []


def _written(head: str, told: Sequence[str]) -> str:
    return f"{head} ({', '.join(told)})" if told else head
