"""From the database to a study's results: the one way that the command line and the pages share."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from sqlalchemy import Engine

from backend import frontier, part_versions, plugins
from backend.stage import NotFound, UserError
from db import reads

# Besides relearning, what speaks for an item in a verdict: sampled answers and what probes read off.
# What `runs --json` tells of a run.
RUN_FACTS = ("id", "stage", "name", "parameters", "seed", "parent", "inputs", "fingerprint", "state", "blocked_by", "attempt", "seconds", "flops", "error")  # fmt: skip
NEVER = 1 << 60  # a version that no run has: all are older
WITNESSES = ("pass_at_k", "probe_accuracy", "lens_accuracy")


def known_study(engine: Engine | None, name: str, revision: int | None = None) -> reads.StudyRecord:
    """A study of the database; NotFound lists the known ones."""
    record = reads.study(engine, name, revision) if engine is not None else None
    if record is None or engine is None:
        names = [] if engine is None else list(reads.studies(engine)["name"])
        which = (
            f"no revision {revision} of the study"
            if revision is not None and name in names
            else "no study"
        )
        valid = ", ".join(names) or "none yet, submit one first"
        raise NotFound(f"There is {which} {name!r} in the database; there are: {valid}.")
    return record


def run_rows(engine: Engine | None, study_name: str) -> list[dict[str, Any]]:
    """A study's runs in the order in which they were planned, as `runs --json` prints them; UserError without a study."""
    engine, record = _known(engine, study_name)
    given: dict[int, dict[str, list[int]]] = {}
    for row in reads.inputs(engine, record.id).to_dict("records"):
        given.setdefault(row["run"], {}).setdefault(row["role"], []).append(row["input"])
    records = reads.study_runs(engine, record.id).to_dict("records")
    whole = [{**one, "inputs": given.get(int(one["id"]), {})} for one in records]
    return [plain_row({name: one[name] for name in RUN_FACTS}) for one in whole]


def plain_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row with None for what is missing and whole numbers where a column of them has gaps."""
    found: dict[str, Any] = {}
    for key, value in row.items():
        missing = value is None or (isinstance(value, float) and value != value)
        whole = key in ("parent", "blocked_by", "id", "seed", "attempt")
        found[str(key)] = None if missing else int(value) if whole else value
    return found


def _known(
    engine: Engine | None, name: str, revision: int | None = None
) -> tuple[Engine, reads.StudyRecord]:
    record = known_study(engine, name, revision)
    assert engine is not None, "a study is known only where there is a database"
    return engine, record


def frontier_document(
    engine: Engine | None,
    study_name: str,
    budget: int | None = None,
    revision: int | None = None,
    attacker_flops: float | None = None,
    *,
    with_siblings: bool = True,
) -> dict[str, Any]:
    """The frontier document of a study (see `backend.frontier.build`).

    Raises:
        UserError: there is no such study or revision, or the budget is beyond the attacks' largest step
    """
    engine, record = _known(engine, study_name, revision)
    metric = record.document["setting"]["forget_metric"]
    measured = _measured(engine, record)
    runs = reads.study_runs(engine, record.id)
    return frontier.build(
        record.document,
        runs,
        reads.inputs(engine, record.id),
        measured,
        reads.item_values(engine, None, metric, "forget_score", study_id=record.id),
        revision=record.revision,
        budget=budget,
        stale=stale_runs(runs, record.document),
        attacker_flops=attacker_flops,
        siblings=_siblings(engine, record) if with_siblings else None,
        other_items={
            name: reads.item_values(engine, None, name, "forget_score", study_id=record.id)
            for name in WITNESSES
        },
    )


def _measured(engine: Engine, record: reads.StudyRecord) -> pd.DataFrame:
    """The measurements that a frontier is made of; what others report is told of a model itself, without an evaluation."""
    if record.origin == "imported":
        return reads.measurements(engine, study_id=record.id)
    parts = ("forget", "retain", "placebo")
    splits = [f"{part}_{use}" for part in parts for use in ("score", "validation")]
    wanted: list[dict[str, Any]] = [
        {"stages": ["evaluate", "attack"], "splits": splits},
        {"stages": ["evaluate"], "splits": ["model"]},
        {"stages": ["attack"], "metrics": ["attacker_flops", "tries"]},
        {"stages": ["robustify"], "splits": ["agreement"], "metrics": ["kl"]},
        {
            "stages": ["suppress"],
            "splits": ["retain_validation"],
            "metrics": [record.document["setting"]["retain_metric"]],
        },
        {"stages": ["wrap"], "splits": ["model"], "metrics": ["inference_overhead"]},
    ]
    found = [reads.measurements(engine, study_id=record.id, **which) for which in wanted]
    return pd.concat([found[0], *(f for f in found[1:] if len(f))], ignore_index=True)


def _siblings(engine: Engine, record: reads.StudyRecord) -> dict[float, list[dict[str, Any]]]:
    """The rows of all studies whose setting differs from this one's in the forget set's size only, by that size."""
    mine = _apart_from_size(record.document["setting"])
    if mine is None:
        return {}
    found = {}
    for name, setting in reads.settings(engine):
        theirs = _apart_from_size(setting)
        if name != record.name and theirs is not None and theirs[0] == mine[0]:
            if theirs[1] == mine[1]:
                continue
            document = frontier_document(engine, name, with_siblings=False)
            found[theirs[1]] = document["rows"]
    return found


def _apart_from_size(setting: Mapping[str, Any]) -> tuple[tuple[str, str], float] | None:
    """(the setting without the forget set's size, that size); None where it has none."""
    parameters = dict(setting.get("parameters", {}))
    size = parameters.pop("forget_size", None)
    told = (str(setting.get("name")), repr(sorted(parameters.items())))
    return None if size is None else (told, float(size))


def stale_runs(runs: pd.DataFrame, document: Mapping[str, Any] | None = None) -> set[int]:
    """Ids of the runs that an older version of their part made; imported runs and parts unknown here never are.

    Of a study's `document` those too whose plugin was edited since.
    """
    edited = _edited(document or {})
    current: dict[tuple[Any, ...], int] = {}
    found = set()
    own = runs[runs["origin"] == "run"]
    for run_id, stage, name, parameters, version in zip(
        own["id"], own["stage"], own["name"], own["parameters"], own["version"], strict=True
    ):
        key = (stage, name, part_versions.used_parts(stage, parameters))
        if key not in current:
            current[key] = _version_today(*key)
            if edited and edited & {
                *part_versions.parts_of(stage, name, parameters),
                _setting_of(document),
            }:
                current[key] = NEVER
        if version < current[key]:
            found.add(int(run_id))
    return found


def _edited(document: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The plugins' parts whose source is another one now than when the study was planned."""
    planned = {tuple(key.split(" ", 1)): code for key, code in document.get("code", {}).items()}
    now = {key: plugins.code_of(*key) for key in planned}
    return {(kind, name) for (kind, name), code in planned.items() if now[kind, name] not in (None, code)}  # fmt: skip


def _setting_of(document: Mapping[str, Any] | None) -> tuple[str, str]:
    return ("settings", str((document or {"setting": {}})["setting"].get("name")))


def _version_today(stage: str, name: str, uses: tuple[tuple[str, str], ...]) -> int:
    try:
        return part_versions.current_version(stage, name, uses)
    except UserError:
        return 0


def curves(engine: Engine | None, study_name: str, revision: int | None = None) -> pd.DataFrame:
    """Every attack cell of a study along its steps (see `backend.tables.relearning_curves`)."""
    engine, record = _known(engine, study_name, revision)
    metric = record.document["setting"]["forget_metric"]
    measured = reads.measurements(
        engine, study_id=record.id, stages=["evaluate", "attack"], metrics=[metric]
    )
    runs = reads.study_runs(engine, record.id)
    return frontier.relearning_curves(record.document, runs, measured)
