"""lm-evaluation-harness: `results_*.json` with standard errors, numbers of samples and versions of tasks."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from backend.given_files import Given, GivenFile
from backend.importers import Importer, Options
from backend.reported import Metric, Model, Reading, Report, finite, metric_name, named
from backend.stage import UserError

HAZARDOUS = "wmdp"  # tasks whose knowledge is to be forgotten
NAME = "lm_eval"  # as the tasks that are run here are named: lm_eval_TASK_METRIC


def recognises(given: Given) -> bool:
    """Whether a file holds results of tasks, as the harness writes them."""
    return any(_is_result(file) for file in given.files)


def _is_result(file: GivenFile) -> bool:
    told = file.object() or {}
    results = told.get("results")
    if not isinstance(results, dict) or not results or not {"configs", "versions", "n-shot"} & told.keys():  # fmt: skip
        return False
    return all(isinstance(one, dict) for one in results.values())


def read(given: Sequence[Given], options: Options) -> Report:
    """A model for every model name in the files; of a task that was done twice the later result counts.

    Raises:
        UserError: there is no such file, or a number in it is none
    """
    files = [(one, file) for one in given for file in one.files if _is_result(file)]
    if not files:
        names = ", ".join(one.name for one in given)
        raise UserError(f"{names} holds no results_*.json of lm-evaluation-harness.")
    files.sort(key=lambda pair: _date(pair[1]))
    models: dict[str, dict[str, Reading]] = {}
    metrics: dict[str, Metric] = {}
    versions: dict[str, str] = {}
    for one, file in files:
        told = file.mapping()
        for name, metric, reading in _readings(file, told):
            models.setdefault(_model_name(one, told), {})[name] = reading
            metrics[name] = metric
        versions |= {str(k): str(v) for k, v in _mapping(told, "versions").items()}
    found = tuple(Model(name, name, readings) for name, readings in models.items())
    if not found:
        raise UserError(f"{files[0][1].path} holds no number.")
    return Report("lm-eval", found, metrics, about={"versions": versions})


def _date(file: GivenFile) -> tuple[float, str]:
    date = file.mapping().get("date")
    right = isinstance(date, int | float) and not isinstance(date, bool)
    return (float(date) if right else 0.0, file.name)  # type: ignore[arg-type]


def _mapping(told: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = told.get(key)
    return found if isinstance(found, dict) else {}


def _model_name(given: Given, told: Mapping[str, Any]) -> str:
    """The model's name as the harness notes it; else that of what was given."""
    if told.get("model_name"):
        return named(told["model_name"], "model_name")
    arguments = _mapping(told, "config").get("model_args")
    if isinstance(arguments, dict):
        arguments = f"pretrained={arguments.get('pretrained', '')}"
    match = re.search(r"(?:^|,)pretrained=([^,]+)", str(arguments or ""))
    return named(match[1] if match else given.name, "The model's name")


def _readings(file: GivenFile, told: Mapping[str, Any]) -> Iterator[tuple[str, Metric, Reading]]:
    """(name, declaration, number) of every task and group; a group's members are its parts."""
    groups = {k: v for k, v in _mapping(told, "group_subtasks").items() if isinstance(v, list)}
    members = {member for inside in groups.values() for member in inside}
    for task in told["results"]:
        if task in members:
            continue
        for metric, filtered, value in _numbers(told["results"][task]):
            where = f"{file.path}: {task}, {metric}"
            error = told["results"][task].get(f"{metric}_stderr{filtered}")
            reading = Reading(
                finite(value, where),
                finite(error, f"{where}, its standard error") if isinstance(error, int | float) else None,
                _count(told, task, groups),
                parts=_parts(told, task, groups, f"{metric}{filtered}", where),
            )  # fmt: skip
            kind = filtered.removeprefix(",").replace("none", "")
            name = "_".join(part for part in (NAME, task, metric, kind) if part)
            yield metric_name(name.replace("-", "_")), _declared(told, task, metric, kind), reading


def _numbers(task: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """(metric, its filter with the comma, value) of a task: `acc,none`, or `acc` in old files."""
    for key, value in task.items():
        metric, comma, filtered = str(key).partition(",")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and not metric.endswith("_stderr") and metric not in ("alias", "samples"):
            yield metric, comma + filtered, value


def _below(task: str, groups: Mapping[str, list[str]]) -> list[str]:
    """All tasks below a group, those of its subgroups too; a group that holds itself is no group."""
    found: list[str] = []
    open_tasks = list(groups.get(task, []))
    while open_tasks:
        one = open_tasks.pop(0)
        if one not in found and one != task:
            found.append(one)
            open_tasks += groups.get(one, [])
    return found


def _parts(
    told: Mapping[str, Any], task: str, groups: Mapping[str, list[str]], key: str, where: str
) -> dict[str, float]:
    results = told["results"]
    return {
        named(member, where, 60): finite(results[member][key], f"{where} of {member}")
        for member in _below(task, groups)
        if member in results and key in results[member]
    }


def _count(told: Mapping[str, Any], task: str, groups: Mapping[str, list[str]]) -> int | None:
    """How many items were asked: of a group, those of its tasks."""
    samples = _mapping(told, "n-samples")
    counts = [
        one.get("effective") for t in (task, *_below(task, groups)) if isinstance(one := samples.get(t), dict)
    ]  # fmt: skip
    known = [count for count in counts if isinstance(count, int) and not isinstance(count, bool)]
    return sum(known) if known else None


def _declared(told: Mapping[str, Any], task: str, metric: str, kind: str) -> Metric:
    higher = _mapping(_mapping(told, "higher_is_better"), task).get(metric)
    label = f"{task}: {metric}" + (f" ({kind})" if kind else "")
    if not isinstance(higher, bool):
        return Metric(named(label, "A task's name"))
    direction, better = ("up", "higher") if higher else ("down", "lower")
    if task.startswith(HAZARDOUS):
        better = "lower" if higher else "higher"  # the harness praises knowledge, whatever it is of
    return Metric(named(label, "A task's name"), direction, better)


IMPORTER = Importer(
    label="lm-evaluation-harness",
    summary="results_*.json: a model each, its tasks with standard errors and numbers of samples",
    recognises=recognises,
    read=read,
)
