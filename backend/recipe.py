"""Doing one run: from a request to a finished checkpoint and its ledger."""

import json
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch

from backend import checkpoints, precision
from backend.attached_tasks import NAME as LM_EVAL
from backend.choosing import choose
from backend.composition import run_method
from backend.context import RunContext
from backend.data import Task
from backend.evaluation import answers, measure
from backend.examination import Examination, rows_of
from backend.labels import observed, requested
from backend.log_lines import say
from backend.memory import forget_peak, keep_freed_memory, peak_memory
from backend.models import device
from backend.plugin_loading import held_to
from backend.plugins import code_of
from backend.pretraining import pretrain
from backend.ranks import team
from backend.registry import load
from backend.settings import build_task
from backend.stage import (
    KEEP_ENDPOINT,
    NotApplicable,
    RunFailed,
    Sink,
    StageOutcome,
    StageRequest,
    inapplicable,
)

EVALUATED = ("retain_score", "retain_validation", "forget_score", "forget_validation")
NEVER_TRAINED = "placebo_score"
KEEP_SECONDS = 20.0  # between states to resume from


def execute(request: StageRequest, sink: Sink) -> StageOutcome:
    """Do the run; its files lie under the data directory when this returns.

    Raises:
        RunFailed: with one sentence, where it cannot go on
        Cancelled: where somebody told it to stop
    """
    started = time.monotonic()
    keep_freed_memory()
    forget_peak()  # of the runs before, in the same process
    if request.fresh and team().first:
        checkpoints.drop_resume(request.home, request.fingerprint)
    with held_to(request.setting.get("code", {})):
        task = task_of(request.setting)
        run = RunContext(request, task, sink, device(), keep_state_every=KEEP_SECONDS)
        team().meter = run.meter
        if run.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        with precision.using(request.precision):
            model = _stage(run)
    outcome = _ledger(run, time.monotonic() - started)
    if not team().first:
        return outcome
    if request.stage not in ("evaluate", "attack") or request.parameters.get(KEEP_ENDPOINT):
        outcome.files = [checkpoints.save_model(request.home, request.fingerprint, model)]
        say("saved", "the model is stored", bytes=outcome.files[0].bytes)
    else:
        checkpoints.drop_resume(request.home, request.fingerprint)
    return outcome


def _stage(run: RunContext) -> Any:
    request = run.request
    if request.stage in ("base", "oracle"):
        return pretrain(run, with_forget=request.stage == "base")
    parameters = dict(request.parameters)
    split_seed = request.setting["parameters"].get("split_seed", 0)
    if "labels" in parameters:
        run.task = observed(run.task, **parameters.pop("labels"), seed=split_seed)
    if "request" in parameters:
        part, count = parameters.pop("request")
        run.task = requested(run.task, part, count, split_seed)
    if request.stage == "pretrain":
        if "search" in parameters:
            parameters |= choose(run, run.input("base"), request.name, parameters.pop("search"))
        return run_method(request.name, run.fresh_model(), run.task, run, parameters)
    if request.parent is None:
        raise RunFailed(f"A run of the stage {request.stage!r} needs a parent.")
    model = run.stored(request.parent)
    if request.stage == "evaluate" and request.name == LM_EVAL:
        return _do_tasks(run, model)
    if request.stage == "evaluate":
        return _evaluate(run, model)
    if request.stage == "attack":
        return _attack(run, model, parameters)
    if "search" in parameters:
        parameters |= choose(run, model, request.name, parameters.pop("search"))
    return run_method(request.name, model, run.task, run, parameters)


def _attack(run: RunContext, model: Any, parameters: dict[str, Any]) -> Any:
    parameters.pop(KEEP_ENDPOINT, None)
    run.target = parameters.pop("target", "forget")
    say("attack cell", f"attacking by {run.request.name}", target=run.target, **parameters)
    try:
        return load("attacks", run.request.name)(model, run.task, run, **parameters)
    except NotApplicable as why:
        run.note(inapplicable(run.request.name, why))
        return model


def _evaluate(run: RunContext, model: Any) -> Any:
    names = list(run.request.parameters.get("metrics") or run.task.metrics)
    takes = {name: load("metrics", name).declared["takes"] for name in names}  # type: ignore[attr-defined]
    scored = [name for name in names if takes[name] == "scores"]
    say(
        "evaluation",
        f"{len(names)} metrics of the model",
        metrics=names,
        splits=evaluated(run.task) if scored else [],
    )
    examined = Examination(run, model)
    said: set[str] = set()
    with run.meter.watching(model):
        for split in evaluated(run.task) if scored else ():
            found = examined.scores(split)
            rows = measure(found, run.task, split, 0, scored)
            said |= {row.metric for row in rows}
            run.sink.record(rows)
            if split.endswith("_score"):
                run.sink.samples(answers(found, run.task, split, 0))
        for place, name in enumerate(names):
            run.check_cancelled()
            run.sink.progress(place, len(names), name)
            if takes[name] == "examination":
                _examine(examined, name)
            elif name not in said:
                run.note(
                    inapplicable(name, f"the setting {run.task.name} has no items of its kind")
                )
    return model


def _do_tasks(run: RunContext, model: Any) -> Any:
    try:
        from backend.lm_evaluation import measured  # it needs a library that not everybody has
    except ImportError as problem:
        raise RunFailed(f"lm-eval cannot be used here: {problem}; pip install -r requirements-lm-eval.txt.") from problem  # fmt: skip
    with run.meter.watching(model):
        run.sink.record(measured(run, model))
    return model


def evaluated(task: Task) -> list[str]:
    """The splits that every checkpoint is measured on: the parts that count, and what else the setting has to score."""
    more = (name for name in task.splits if name.endswith("_score") and name != NEVER_TRAINED)
    return list(dict.fromkeys((*EVALUATED, *more)))


def _examine(examined: Examination, name: str) -> None:
    """One metric of the whole checkpoint; where it says nothing here, the run's note says why."""
    try:
        readings = load("metrics", name)(examined)
    except NotApplicable as why:
        examined.run.note(inapplicable(name, why))
        return
    rows = rows_of(name, readings)
    examined.run.sink.record(rows)
    if any(row.value is None for row in rows):
        examined.run.note(inapplicable(name, "some of its values are not finite"))


def _ledger(run: RunContext, seconds: float) -> StageOutcome:
    memory = torch.cuda.max_memory_allocated() if run.device.type == "cuda" else peak_memory()
    return StageOutcome(
        steps=run.steps,
        tokens=run.meter.tokens,
        flops=run.meter.flops,
        seconds=seconds,
        peak_memory=team().largest(memory),
        note="\n".join(run.notes),
        chosen=run.chosen,
    )


def task_of(setting: Mapping[str, Any]) -> Task:
    """The task of a run's setting, made once in a process.

    Raises:
        RunFailed: its data are not those of the time when the study was submitted
    """
    parameters = json.dumps(setting["parameters"], sort_keys=True)
    say("loading", f"the data of the setting {setting['name']}")
    task = _built(setting["name"], parameters, code_of("settings", setting["name"]))
    if task.content_hash != setting["content_hash"]:
        raise RunFailed(
            f"The data of the setting {task.name} changed since the study was submitted"
            f" ({setting['content_hash']} then, {task.content_hash} now); submit it again."
        )
    return task


@lru_cache(maxsize=4)
def _built(name: str, parameters: str, code: str | None) -> Task:
    """Settings that one slot process meets again and again are made once; a plugin's that was edited, again."""
    return build_task(name, json.loads(parameters))
