"""What a study's document says of its metrics and of what guessing can reach."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from backend import catalogue
from backend.data import Task, chance, unigram_floor

MOST_GUESSES = 64  # at a placebo question, for which chance is worked out


def declared_metrics(study: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """What the setting's metrics, those of the audit, and the attacks' own scores declare."""
    names = dict.fromkeys((*task.metrics, *study["audit"]))
    found = {name: declared_metric(name, task) for name in names}
    for attack in study["attacks"]:
        own = catalogue.part("attacks", attack["name"]).declared["metric"]
        if own:
            floors = dict.fromkeys(_scored(task), own["floor"])
            found[own["name"]] = {**own, "level": "attack", "takes": "attack", "floors": floors}
    return found


def declared_metric(name: str, task: Task) -> dict[str, Any]:
    """What a metric declares, with its floor on every split."""
    declared = catalogue.part("metrics", name).declared
    floor = declared["floor"]
    if floor == "unigram" and task.absent:
        floor = None
    derived = {"unigram": unigram_floor, "choices": chance}
    floors = {
        split: derived[floor](task, split) if floor in derived else floor for split in _scored(task)
    }
    shown = ("direction", "unit", "range", "level", "label", "takes")
    return {**{key: declared[key] for key in shown}, "floors": floors}


def _scored(task: Task) -> list[str]:
    """The splits on which something is measured."""
    return [split for split in task.splits if split.endswith(("_score", "_validation"))]


def commonest(task: Task) -> list[float]:
    """What guessing can reach on the placebo items that are scored, with one guess, with two, …: the shares of the
    commonest answers added up. Empty in a setting without a placebo."""
    if "placebo_score" not in task.splits:
        return []
    answers = [tuple(row) for row in task.splits["placebo_score"].targets]
    counts = sorted(Counter(answers).values(), reverse=True)[:MOST_GUESSES]
    return [sum(counts[: k + 1]) / len(answers) for k in range(len(counts))]
