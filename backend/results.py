"""From the database to a study's results: the one way that the command line and the pages share."""

from typing import Any

import pandas as pd
from sqlalchemy import Engine

from backend import frontier, plan
from backend.stage import UserError
from db import reads


def known_study(engine: Engine | None, name: str, revision: int | None = None) -> reads.StudyRecord:
    """A study of the database; UserError lists the known ones."""
    record = reads.study(engine, name, revision) if engine is not None else None
    if record is None or engine is None:
        names = [] if engine is None else list(reads.studies(engine)["name"])
        which = f"no revision {revision} of the study" if revision and name in names else "no study"
        valid = ", ".join(names) or "none yet, submit one first"
        raise UserError(f"There is {which} {name!r} in the database; there are: {valid}.")
    return record


def frontier_document(
    engine: Engine,
    study_name: str,
    budget: int | None = None,
    revision: int | None = None,
    attacker_flops: float | None = None,
) -> dict[str, Any]:
    """The frontier document of a study (see `backend.frontier.build`).

    Raises:
        UserError: there is no such study or revision, or the budget is beyond the attacks' largest step
    """
    record = known_study(engine, study_name, revision)
    metric = record.document["setting"]["forget_metric"]
    splits = [
        f"{part}_{use}"
        for part in ("forget", "retain", "placebo")
        for use in ("score", "validation")
    ]
    measured = reads.measurements(
        engine, study_id=record.id, stages=["evaluate", "attack"], splits=splits
    )
    agreement = reads.measurements(
        engine, study_id=record.id, stages=["robustify"], splits=["agreement"], metrics=["kl"]
    )
    along = reads.measurements(
        engine,
        study_id=record.id,
        stages=["suppress"],
        splits=["retain_validation"],
        metrics=[record.document["setting"]["retain_metric"]],
    )
    overhead = reads.measurements(
        engine,
        study_id=record.id,
        stages=["wrap"],
        splits=["model"],
        metrics=["inference_overhead"],
    )
    spent = reads.measurements(
        engine, study_id=record.id, stages=["attack"], metrics=["attacker_flops"]
    )
    more = [frame for frame in (spent, agreement, along, overhead) if len(frame)]
    measured = pd.concat([measured, *more], ignore_index=True) if more else measured
    runs = reads.study_runs(engine, record.id)
    return frontier.build(
        record.document,
        runs,
        reads.inputs(engine, record.id),
        measured,
        reads.item_values(engine, None, metric, "forget_score", study_id=record.id),
        revision=record.revision,
        budget=budget,
        stale=stale_runs(runs),
        attacker_flops=attacker_flops,
    )


def stale_runs(runs: pd.DataFrame) -> set[int]:
    """Ids of the runs that an older version of their part made; imported runs and parts unknown here never are."""
    current: dict[tuple[Any, ...], int] = {}
    found = set()
    own = runs[runs["origin"] == "run"]
    for run_id, stage, name, parameters, version in zip(
        own["id"], own["stage"], own["name"], own["parameters"], own["version"], strict=True
    ):
        key = (stage, name, plan.used_parts(stage, parameters))
        if key not in current:
            current[key] = _version_today(*key)
        if version < current[key]:
            found.add(int(run_id))
    return found


def _version_today(stage: str, name: str, uses: tuple[tuple[str, str], ...]) -> int:
    try:
        return plan.current_version(stage, name, uses)
    except UserError:
        return 0


def curves(engine: Engine, study_name: str, revision: int | None = None) -> pd.DataFrame:
    """Every attack cell of a study along its steps (see `backend.tables.relearning_curves`)."""
    record = known_study(engine, study_name, revision)
    metric = record.document["setting"]["forget_metric"]
    measured = reads.measurements(
        engine, study_id=record.id, stages=["evaluate", "attack"], metrics=[metric]
    )
    runs = reads.study_runs(engine, record.id)
    return frontier.relearning_curves(record.document, runs, measured)
