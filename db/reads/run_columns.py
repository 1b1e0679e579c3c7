"""The columns of the list of runs as SQL: the row's own, what others say of it, parameters, and metrics.

A column is named as in the list's address: `seconds`; `p.alpha` for a parameter, `p.mask.name` for one inside another;
`answer_accuracy@forget_score` for the last value of a metric on a split.
"""

from typing import Any

from sqlalchemy import Text, case, cast, func, select
from sqlalchemy.orm import aliased

from db.live import newest
from db.models import Measurement, Run, Study, StudyRun
from db.models_marks import RunNote, RunTag

PARAMETER = "p."
METRIC = "@"

# A waiting run below a failed one is blocked: another state to who reads the list.
STATE = case((Run.blocked_by.is_not(None) & (Run.state == "waiting"), "blocked"), else_=Run.state)

OWN: dict[str, Any] = {
    "id": Run.id,
    "stage": Run.stage,
    "method": Run.name,
    "seed": Run.seed,
    "state": STATE,
    "steps": Run.steps,
    "seconds": Run.seconds,
    "flops": Run.flops,
    "tokens": Run.tokens,
    "memory": Run.peak_memory,
    "attempt": Run.attempt,
    "priority": Run.priority,
    "version": Run.version,
    "parent": Run.parent_id,
    "precision": Run.precision,
    "origin": Run.origin,
    "fingerprint": Run.fingerprint,
    "error": Run.error,
    "created": Run.created_at,
    "started": Run.started_at,
    "finished": Run.finished_at,
    "parameters": Run.parameters,
}


def column(name: str, dialect: str, sorting: bool = False) -> Any:
    """The expression of a column; with `sorting` one whose order is the values' own.

    Raises:
        KeyError: there is no column of that name
    """
    if name.startswith(PARAMETER):
        return parameter(name, dialect, sorting)
    if METRIC in name:
        return last_value(*name.split(METRIC, 1))
    if name == "parameters" and sorting:
        return cast(Run.parameters, Text)
    return OWN[name] if name in OWN else _told(name)


def _told(name: str) -> Any:
    told = {"setting": _setting, "tags": _tags, "studies": _studies, "note": _note}
    return told[name]()


def _setting() -> Any:
    return Run.setting["name"].as_string()


def _tags() -> Any:
    words = select(func.aggregate_strings(RunTag.tag, ", ")).where(RunTag.run_id == Run.id)
    return words.correlate(Run).scalar_subquery()


def _studies() -> Any:
    """The studies whose newest revision has the run."""
    names = select(func.aggregate_strings(Study.name, ", "))
    names = names.join(StudyRun, StudyRun.study_id == Study.id)
    names = names.where(StudyRun.run_id == Run.id, Study.id.in_(newest()))
    return names.correlate(Run).scalar_subquery()


def _note() -> Any:
    latest = select(RunNote.text).where(RunNote.run_id == Run.id)
    return latest.order_by(RunNote.version.desc()).limit(1).correlate(Run).scalar_subquery()


def path(name: str) -> tuple[str, ...]:
    """The way to a parameter inside the JSON."""
    return tuple(name.removeprefix(PARAMETER).split("."))


def parameter(name: str, dialect: str, sorting: bool = False) -> Any:
    """A parameter as it is stored; with `sorting` so that numbers are ordered as numbers."""
    held = Run.parameters[path(name)]
    # SQLite's JSON_EXTRACT hands back numbers as numbers, whatever the type is called here.
    return held.as_string() if sorting and dialect == "sqlite" else held


def kind_of(name: str, dialect: str) -> Any:
    """What a parameter is: `integer`, `real` (or `number`), `text` (or `string`), `true`, `false`, `array`, ….

    What is not there has no kind: NULL.
    """
    if dialect == "sqlite":
        inside = ".".join(f'"{part}"' for part in path(name))
        return func.json_type(Run.parameters, f"$.{inside}")
    return func.jsonb_typeof(Run.parameters[path(name)])


def last_value(metric: str, split: str) -> Any:
    """A metric's value after the last step at which there is one: of the run itself, else of its evaluation."""
    child = aliased(Run)
    wanted = (
        Measurement.metric == metric,
        Measurement.split == split,
        Measurement.category == "",
        Measurement.value.is_not(None),
    )
    own = select(Measurement.value).where(Measurement.run_id == Run.id, *wanted)
    own = own.order_by(Measurement.step.desc()).limit(1).correlate(Run)
    looks = (child.parent_id == Run.id, child.stage == "evaluate", child.state == "complete")
    seen = select(Measurement.value).join(child, child.id == Measurement.run_id)
    seen = seen.where(*looks, *wanted).order_by(child.id.desc(), Measurement.step.desc())
    seen = seen.limit(1).correlate(Run)
    return func.coalesce(own.scalar_subquery(), seen.scalar_subquery())
