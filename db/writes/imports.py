"""Imported studies: their document, runs that are complete from the start, and what was measured on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, delete, select, update

from db.arrays import encode
from db.models import REMOVED_MODEL, Artifact, ItemValues, Measurement, Run, Sample, Study
from db.session import DatabaseProblem
from db.writes.guarded import needs
from db.writes.rows import clock, event, upsert
from db.writes.submission import IMPORTED as ORIGIN
from db.writes.submission import insert_runs, known_runs, store_revision
from db.writes.trash import bring_back, in_trash


@dataclass(frozen=True)
class Imported:
    """What an import changed: the revision, how many runs are new, and whether anything is."""

    study_id: int
    revision: int
    new: int
    existing: int
    changed: bool


@needs("runner")
def import_study(
    engine: Engine, *, name: str, document: dict[str, Any], runs: Sequence[Mapping[str, Any]]
) -> Imported:
    """Store a study that was run elsewhere, in one transaction; what is there already is not touched.

    What was in the trash comes back: the study, and every run that it needs.

    A run carries, besides what `submit` takes, `note`, `measurements`, `items` and `samples`.

    Raises:
        DatabaseProblem: a study of that name was run here
    """
    plan = {run["fingerprint"]: run for run in runs}
    with engine.begin() as c:
        latest = _latest(c, name)
        ids = known_runs(c, list(plan))
        deleted = in_trash(c, name)
        bring_back(c, name, list(ids.values()))
        new = [run for fingerprint, run in plan.items() if fingerprint not in ids]
        insert_runs(c, new, ids, ORIGIN)
        for run in new:
            _finish(c, ids[run["fingerprint"]], run)
        order = [ids[fingerprint] for fingerprint in plan]
        study_id, revision = store_revision(c, name, document, order, ORIGIN)
        changed = revision != latest or deleted
        if changed:
            event(c, "imported", f"{name}, revision {revision}: {len(new)} new runs")
    return Imported(study_id, revision, len(new), len(plan) - len(new), changed)


def _latest(c: Connection, name: str) -> int | None:
    """The newest revision of an imported study; None where the name is free."""
    query = select(Study.revision, Study.origin).where(Study.name == name)
    row = c.execute(query.order_by(Study.revision.desc()).limit(1)).one_or_none()
    if row is not None and row.origin != ORIGIN:
        raise DatabaseProblem(f"There is a study {name!r} that was run here; give the import another name.")  # fmt: skip
    return None if row is None else int(row.revision)


def _finish(c: Connection, run_id: int, run: Mapping[str, Any]) -> None:
    """Make a run complete and write what was measured on it."""
    ended = {"state": "complete", "finished_at": clock(c), "note": run.get("note")}
    c.execute(update(Run).where(Run.id == run_id).values(ended))
    stamp = {"run_id": run_id, "attempt": 0}
    items = [
        {key: value for key, value in row.items() if key != "values"}
        | {"count": len(row["values"]), "data": encode(row["values"])}
        for row in run.get("items", ())
    ]
    for table, rows in ((Measurement, run.get("measurements", ())), (ItemValues, items), (Sample, run.get("samples", ()))):  # fmt: skip
        upsert(c, table, [{**row, **stamp} for row in rows])


@needs("admin")
def forget_files(engine: Engine, paths: Sequence[str]) -> int:
    """Drop the notes of files that were removed from the data directory; how many that were."""
    noted = Artifact.kind != REMOVED_MODEL  # what can be made again stays known
    with engine.begin() as c:
        gone = (
            c.execute(delete(Artifact).where(Artifact.path == path, noted)).rowcount
            for path in paths
        )
        return sum(gone)
