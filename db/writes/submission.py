"""Submitting a study: its document and the runs that do not exist yet."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update

from db.models import Run, RunInput, Study, StudyRun
from db.session import DatabaseProblem
from db.writes.again import make_again
from db.writes.guarded import needs
from db.writes.rows import MOST_VALUES, block, event
from db.writes.trash import bring_back

COPIED = ("fingerprint", "stage", "name", "version", "parameters", "setting", "precision", "seed")
OPTIONAL = ("memory_need", "expected_seconds")
IMPORTED = "imported"  # the origin of studies and runs that were done elsewhere


@dataclass(frozen=True)
class Submitted:
    """What a submission changed: the study's revision, and how many of its runs are new."""

    study_id: int
    revision: int
    new: int
    existing: int


@needs("runner")
def submit(
    engine: Engine,
    *,
    name: str,
    document: dict[str, Any],
    runs: Sequence[Mapping[str, Any]],
    origin: str = "run",
) -> Submitted:
    """Store a study and the runs that do not exist yet, parents before children; all or nothing.

    The same document with the same runs again is the same revision. What was in the trash comes back: the study, and
    every run that it needs; one that had failed or was cancelled waits again, as a new one would.

    Raises:
        DatabaseProblem: a study of that name was imported
    """
    plan = {run["fingerprint"]: run for run in runs}
    with engine.begin() as c:
        _own_name(c, name)
        ids = known_runs(c, list(plan))
        bring_back(c, name, list(ids.values()))
        new = [run for fingerprint, run in plan.items() if fingerprint not in ids]
        insert_runs(c, new, ids, origin)
        order = [ids[fingerprint] for fingerprint in plan]
        study_id, revision = store_revision(c, name, document, order, origin)
        known = len(plan) - len(new)
        event(c, "submitted", f"{name}, revision {revision}: {len(new)} new runs, {known} known")
        make_again(c)
        block(c)
    return Submitted(study_id, revision, len(new), known)


def _own_name(c: Connection, name: str) -> None:
    """A revision on top would hide what was imported, and bar it from being imported again."""
    newest = select(Study.origin).where(Study.name == name).order_by(Study.revision.desc())
    if c.execute(newest.limit(1)).scalar() == IMPORTED:
        raise DatabaseProblem(f"There is a study {name!r} that was imported; give the one to run here another name.")  # fmt: skip


@needs("runner")
def add_run(engine: Engine, run: Mapping[str, Any]) -> int:
    """A run that belongs to no study, unless it exists; its id. The plan's form of a run, as in `submit`.

    Raises:
        DatabaseProblem: what it starts from is not there
    """
    needed = {name for given in run["inputs"].values() for name in given} | {run["parent"]}
    with engine.begin() as c:
        ids = known_runs(c, [run["fingerprint"], *needed])
        if run["fingerprint"] in ids:
            return ids[run["fingerprint"]]
        if needed - set(ids):
            raise DatabaseProblem("The model that this run starts from is not there any more.")
        insert_runs(c, [run], ids, "run")
        added = ids[run["fingerprint"]]
        event(c, "submitted", f"{run['stage']} {run['name']}, outside of any study", added)
        # Somebody waits for it, so it goes first.
        c.execute(update(Run).where(Run.id == added).values(priority=10))
        make_again(c)
        block(c)
    return added


def known_runs(c: Connection, fingerprints: list[str]) -> dict[str, int]:
    """Fingerprint → number of those of the runs that exist."""
    found: dict[str, int] = {}
    for start in range(0, len(fingerprints), MOST_VALUES):
        part = fingerprints[start : start + MOST_VALUES]
        rows = c.execute(select(Run.fingerprint, Run.id).where(Run.fingerprint.in_(part)))
        found |= {row.fingerprint: row.id for row in rows}
    return found


def insert_runs(
    c: Connection, runs: Sequence[Mapping[str, Any]], ids: dict[str, int], origin: str
) -> None:
    """Insert the runs in order and note their numbers in `ids`."""
    given = []
    for run in runs:
        values = {key: run[key] for key in COPIED} | {"origin": origin}
        values |= {key: run.get(key) for key in OPTIONAL}
        values["parent_id"] = ids[run["parent"]] if run.get("parent") else None
        run_id = int(c.execute(insert(Run).returning(Run.id), values).scalar_one())
        ids[run["fingerprint"]] = run_id
        for role, fingerprints in (run.get("inputs") or {}).items():
            for position, fingerprint in enumerate(fingerprints):
                given.append(
                    {
                        "run_id": run_id,
                        "role": role,
                        "position": position,
                        "input_id": ids[fingerprint],
                    }
                )
    if given:
        c.execute(insert(RunInput), given)


def store_revision(
    c: Connection, name: str, document: dict[str, Any], run_ids: list[int], origin: str
) -> tuple[int, int]:
    """(id, number) of the revision: the latest one where nothing changed, else a new one."""
    latest = c.execute(
        select(Study.id, Study.revision, Study.document)
        .where(Study.name == name)
        .order_by(Study.revision.desc())
        .limit(1)
    ).one_or_none()
    if latest is not None and latest.document == json.loads(json.dumps(document)):
        held = select(StudyRun.run_id).where(StudyRun.study_id == latest.id)
        if list(c.execute(held.order_by(StudyRun.position)).scalars()) == run_ids:
            return latest.id, latest.revision
    revision = 1 if latest is None else latest.revision + 1
    values = {"name": name, "revision": revision, "document": document, "origin": origin}
    study_id = int(c.execute(insert(Study).returning(Study.id), values).scalar_one())
    rows = [
        {"study_id": study_id, "run_id": run_id, "position": position}
        for position, run_id in enumerate(run_ids)
    ]
    if rows:
        c.execute(insert(StudyRun), rows)
    return study_id, revision
