"""A resolved study into the queue, with what it will cost: what the command line, the Launch page and Python all call."""

from typing import Any

import pandas as pd
from sqlalchemy import Engine

from backend import plan
from backend.disk_forecast import disk_forecast, plain
from backend.engines.local import default_slots
from backend.forecast import Costs, costs, summed
from backend.stage import UserError
from backend.study import Plan
from db import reads, writes


def planned(resolved: Plan, engine: Engine | None) -> dict[str, Any]:
    """What submitting would do: `study`, `new` and `existing` runs, and the forecast of the new ones and of the disk.

    `absent` is there where the study needs data that are not here, so that it cannot be queued as yet.

    Raises:
        UserError: a study of that name was imported
    """
    return _planned(resolved, engine)[0]


def _planned(resolved: Plan, engine: Engine | None) -> tuple[dict[str, Any], Costs]:
    name = resolved.document["name"]
    if engine is not None and reads.was_imported(engine, name):
        raise UserError(f"name = {name!r} is that of an imported study; give the one to run here another name.")  # fmt: skip
    known = set() if engine is None else reads.existing(engine)
    history = pd.DataFrame() if engine is None else reads.finished_runs(engine)
    found = costs(resolved, known, history)
    told: dict[str, Any] = dict(vars(summed(found, default_slots())))
    disk = disk_forecast(engine, [run for run in resolved.runs if run.fingerprint not in known])
    told |= {"disk_bytes": disk.new, "disk": plain(disk)}
    told["existing"] = sum(run.fingerprint in known for run in resolved.runs)
    told["new"] = len(resolved.runs) - told["existing"]
    absent = resolved.document["setting"].get("absent", "")
    told |= {"absent": absent} if absent else {}
    return told | {"study": name, "revision": None}, found


def submitted(resolved: Plan, engine: Engine) -> dict[str, Any]:
    """The same of a study that is queued, with its `revision`, and `stopped`: its runs that failed or were cancelled.

    Each run is queued with the memory that it is expected to need, by which workers let runs in, and with the time that
    it is expected to take.

    Raises:
        UserError: a study of that name was imported
    """
    told, found = _planned(resolved, engine)
    rows = [{**row, **_expected(found, row["fingerprint"])} for row in plan.as_rows(resolved.runs)]
    done = writes.submit(engine, name=told["study"], document=resolved.document, runs=rows)
    told |= {"revision": done.revision, "new": done.new, "existing": done.existing}
    ended = reads.study_runs(engine, done.study_id)["state"].isin(["failed", "cancelled"])
    return told | {"stopped": int(ended.sum())}


def _expected(found: Costs, fingerprint: str) -> dict[str, float]:
    cost = found.by_run.get(fingerprint)
    return {} if cost is None else {"memory_need": int(cost.memory), "expected_seconds": cost.seconds}  # fmt: skip


def stored_source(engine: Engine | None, name: str) -> dict[str, Any] | None:
    """What a study of the database was made from; None where there is no such study, or others' results were imported."""
    record = reads.study(engine, name) if engine is not None else None
    source = record.document.get("source") if record else None
    return {"name": name, **source} if source else None
