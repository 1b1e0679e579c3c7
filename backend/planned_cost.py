"""FLOPs of a run that is only planned, from its parameters and the shapes of its data."""

from typing import Any

from backend import catalogue
from backend.data import Examples, Task
from backend.flops import forward_flops, training_flops
from backend.plan import PlannedRun

PASSES_A_METRIC = 1.3  # over the items that are evaluated: the mean of all metrics, as measured
PASSES = 10  # over the items, of an attack without steps
# Share of its largest number of steps that distillation takes until its stop rule ends it.
USUAL_SHARE = 0.5


def planned_flops(run: PlannedRun, task: Task) -> float:
    """Forward and backward passes of a run; distillation with a stop rule is counted at half of its largest number of steps."""
    anchor = run.stage in ("base", "oracle")
    given: dict[str, Any] = {**task.base_training, **run.parameters}
    batches = given.get("accumulate", 1) if anchor else run.parameters.get("accumulate", 1)
    given["steps"] = batches * given.get("steps", 0)
    if run.stage == "evaluate":
        return _evaluation(run, task)
    if anchor:
        return float(given["steps"] * _base_step(task, given["batch_size"], run.stage == "base"))
    if run.stage == "robustify" and "steps" in run.parameters:
        return _distillation(task, given)
    if run.stage == "attack":
        return _attack(run, task, given)
    return _suppression(run, task, given)


def _step(task: Task, examples: Examples, rows: int) -> float:
    return training_flops(task.model, rows, *_shape(examples))


def _pass(task: Task, examples: Examples, rows: int | None = None) -> float:
    count = len(examples) if rows is None else rows
    return forward_flops(task.model, count, *_shape(examples))


def _shape(examples: Examples) -> tuple[int, int]:
    """Tokens of a row, and positions at which logits are computed."""
    return examples.input_ids.shape[1], len(examples.columns)


def _evaluation(run: PlannedRun, task: Task) -> float:
    asked = len(run.parameters["metrics"]) if run.name == "audit" else 1
    looked_at = [part for name, part in task.splits.items() if "attack" not in name]
    return max(1.0, PASSES_A_METRIC * asked) * sum(_pass(task, part) for part in looked_at)


def _base_step(task: Task, size: int, with_forget: bool) -> float:
    rows = round(task.context_share * size)
    forget = round(task.forget_share * (size - rows)) if with_forget else 0
    work = _step(task, task.train["retain"], size - rows - forget)
    work += _step(task, task.train["forget"], forget)
    return work + sum(_step(task, part, rows) for part in list(task.contexts.values())[:1])


def _suppression(run: PlannedRun, task: Task, given: dict[str, Any]) -> float:
    """The steps that a method has, those of the base where it trains from the start, else one look at all training data."""
    stage = catalogue.part("methods", run.name).declared["stage"]
    if "steps" in run.parameters or stage == "pretrain":
        size = given.get("batch_size", 0)
        return given["steps"] * sum(_step(task, part, size) for part in task.train.values())
    looks = stage == "suppress"
    return sum(_step(task, part, len(part)) for part in task.train.values()) if looks else 0.0


def _distillation(task: Task, given: dict[str, Any]) -> float:
    share = USUAL_SHARE if given.get("tolerance", 0) > 0 else 1.0
    work = 0.0
    for name, rows in (("retain", "retain_batch"), ("forget", "forget_batch")):
        part, size = task.train[name], given.get(rows, 0)
        work += _step(task, part, size) + _pass(task, part, size)
    return share * given.get("steps", 0) * work


def _attack(run: PlannedRun, task: Task, given: dict[str, Any]) -> float:
    asked = [task.splits[f"forget_{part}"] for part in ("validation", "score")]
    look = sum(_pass(task, part) for part in asked)
    if "steps" not in run.parameters:
        return PASSES * look
    steps, known = given["steps"], task.splits["forget_attack"]
    size = min(given.get("batch_size", 1), len(known))
    looks = steps / given.get("evaluate_every", steps) + 1
    tried = given.get("candidates", 0) * size  # a search tries several a step
    return steps * (_step(task, known, size) + _pass(task, known, tried)) + looks * look
