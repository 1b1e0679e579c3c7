"""Options around a method: a mask on the weights, a wrapper of the optimiser's step, an adapter."""

from typing import Any

from backend.context import RunContext
from backend.data import Task
from backend.registry import SLOTS, load
from backend.stage import NotApplicable, RunFailed


def run_method(
    name: str, model: Any, task: Task, run: RunContext, parameters: dict[str, Any]
) -> Any:
    """The model that a method makes under the options among its parameters; adapters are merged into the weights."""
    own = dict(parameters)
    chosen = [dict(own.pop(slot)) for slot in SLOTS if slot in own]
    for option in chosen:
        load("options", option.pop("name"))(model, task, run, **option)
    try:
        model = load("methods", name)(model, task, run, **own)
    except NotApplicable as why:
        raise RunFailed(f"{name} does not work on this model: {why}.") from why
    for finish in run.at_end:
        finish(model)
    return model
