"""The winner of a search, read from its trials' models when the chosen stage starts."""

from typing import Any

from backend import catalogue
from backend.context import RunContext
from backend.evaluation import mean_of, measure, score
from backend.recovery import Scale, utility
from backend.search import trials
from backend.stage import RunFailed
from backend.study_document import declared_metric


def choose(run: RunContext, model: Any, name: str, search: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the trial that forgets most on validation data among those that stay useful enough.

    Of trials that forget alike the most useful one wins. Utility is that on retain validation data, relative to the
    incoming model; where no trial reaches the floor the most useful one is taken. Neither attacks nor score data choose. What every trial scored is kept in `run.chosen`. The
    passes are part of the search and not of the model's own cost.
    """
    tried = trials(catalogue.part("methods", name), search)
    rows: list[dict[str, Any]] = []
    with run.meter.paused():
        useful, _ = _standing(run, model)
        for position, parameters in enumerate(tried):
            retain, forget = _standing(run, run.input("trials", position))
            kept = utility(retain, useful, _scale(run, "retain"))
            if kept is None:
                raise RunFailed("The incoming model knows nothing of the retain data: no utility.")
            rows.append({"parameters": parameters, "utility": kept, "forget": forget})
    floor = search["utility_floor"]
    best = winner(rows, floor, _scale(run, "forget"))
    if best["utility"] < floor:
        run.note(f"No trial kept a utility of {floor:g}; the most useful one won.")
    run.chosen = {**best, "trials": rows}
    return dict(best["parameters"])


def winner(rows: list[dict[str, Any]], floor: float, scale: Scale) -> dict[str, Any]:
    """Of rows with `utility` and `forget` the one that is chosen; the first of equals."""
    enough = [row for row in rows if row["utility"] >= floor]
    if not enough:
        return max(rows, key=lambda row: row["utility"])
    return min(enough, key=lambda row: (scale.capability(row["forget"]), -row["utility"]))


def _standing(run: RunContext, model: Any) -> tuple[float, float]:
    """(retain, forget) metric on validation data."""
    found = []
    for part, metric in (("retain", run.task.retain_metric), ("forget", run.task.forget_metric)):
        split = f"{part}_validation"
        scores = score(model, run.loader(run.task.splits[split]))
        rows = measure(scores, run.task, split, 0, [metric], categories=False, keep_items=False)
        found.append(mean_of(rows, metric))
    return found[0], found[1]


def _scale(run: RunContext, part: str) -> Scale:
    metric = run.task.retain_metric if part == "retain" else run.task.forget_metric
    return Scale.of(declared_metric(metric, run.task), f"{part}_validation")
