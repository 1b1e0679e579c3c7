"""What attacks through access share: asking in other ways, where one right answer is enough."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from backend.attacking import PARTS, best_of, report, rewrites_of
from backend.context import RunContext
from backend.data import Examples, Rewrite
from backend.evaluation import Scores, measure, score
from backend.prompts import fitting
from backend.stage import NotApplicable


def ask(run: RunContext, model: Any, ways: Mapping[str, Rewrite], step: int = 1) -> None:
    """Record how a model answers each question put in all these ways: an item counts if one of them brings its answer.

    Every way's own score stands beside it, on the score part, as a category of its name. Asking is what the attacker
    spends.
    """
    found = {}
    for part in PARTS:
        with run.meter.watching(model):
            scores = {name: _scores(run, model, way(run.split(part))) for name, way in ways.items()}
        found[part] = best_of(list(scores.values()))
        if part == "score":
            _record_ways(run, scores, step)
    report(run, found, step, last=True, tries=len(ways))


def _scores(run: RunContext, model: Any, examples: Examples) -> Scores:
    run.check_cancelled()
    return score(model, run.loader(fitting(examples, model)))


def _record_ways(run: RunContext, scores: Mapping[str, Scores], step: int) -> None:
    split = f"{run.target}_score"
    for name, found in scores.items():
        rows = measure(found, run.task, split, step, categories=False, keep_items=False)
        run.sink.record([replace(row, category=name) for row in rows])


def ways_of(run: RunContext, group: str, kind: str) -> dict[str, Rewrite]:
    """A group of the setting's rewrites, or the one of that kind; NotApplicable where the setting lacks it."""
    known = rewrites_of(run, group)
    if kind == "all":
        return known
    if kind not in known:
        raise NotApplicable(
            f"the setting {run.task.name} has no {kind} among its questions of the kind {group}"
            f" ({', '.join(known)})"
        )
    return {kind: known[kind]}


def put_as(ways: Mapping[str, Rewrite], change: Rewrite) -> dict[str, Rewrite]:
    """The same ways, each followed by one more change."""
    return {name: partial(_both, way, change) for name, way in ways.items()}


def _both(way: Rewrite, change: Rewrite, examples: Examples) -> Examples:
    return change(way(examples))
