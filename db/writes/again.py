"""Models that were removed to make room, and the runs that make them again.

A run whose model was removed stays complete, with all that was measured on it. What needs the model later waits for
another run, of no study, that makes it anew from the same parameters, data and seed, in the first one's place.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, exists, insert, or_, select, update
from sqlalchemy.orm import aliased

from db.models import AGAIN, AGAIN_OF, MODEL_FILE, REMOVED_MODEL, Artifact, Run, RunInput
from db.writes.guarded import needs
from db.writes.rows import AGAIN as QUEUED_AGAIN
from db.writes.rows import BAD, event, events, in_parts, models_alone, upsert

LINKS = (AGAIN, AGAIN_OF)
TRIALS = ("trial", "trials")
COPIED = ("stage", "name", "version", "setting", "precision", "seed", "parent_id", "memory_need", "expected_seconds")  # fmt: skip
FIRST = 10  # somebody waits for it
QUEUED_ANEW = ("complete", *BAD)  # where somebody asks for it


@needs("admin")
def remove_models(engine: Engine, run_ids: Iterable[int]) -> list[int]:
    """Note that the models of these runs are removed, so that their files may be; the numbers of those.

    One that an unfinished run needs stays, and so does one of a run that is not complete.
    """
    found: list[int] = []
    with engine.begin() as c:
        models_alone(c)
        for part in in_parts(run_ids):
            may = select(Run.id).where(Run.id.in_(part), Run.state == "complete", ~_needed())
            mine = (Artifact.run_id.in_(may), Artifact.kind == MODEL_FILE)
            gone = list(c.execute(select(Artifact.run_id).where(*mine)).scalars())
            known = (Artifact.run_id.in_(gone), Artifact.kind == REMOVED_MODEL)
            c.execute(delete(Artifact).where(*known))
            noted = update(Artifact).where(Artifact.run_id.in_(gone), Artifact.kind == MODEL_FILE)
            c.execute(noted.values(kind=REMOVED_MODEL))
            events(c, "model removed", "to make room; its numbers stay", gone)
            found += gone
    return sorted(found)


def _needed() -> Any:
    """Whether a run that is not complete, and not in the trash, starts from the run."""
    child = aliased(Run)
    unfinished = (child.state != "complete", child.trashed_at.is_(None))
    given = and_(RunInput.run_id == child.id, RunInput.input_id == Run.id, RunInput.role.not_in(LINKS))  # fmt: skip
    by_input = exists().where(given, *unfinished).correlate(Run)
    return or_(exists().where(child.parent_id == Run.id, *unfinished).correlate(Run), by_input)


def make_again(c: Connection, run_ids: Collection[int] = ()) -> int:
    """Queue the making of every removed model that a waiting run needs, and of those of the given runs.

    The runs that need one wait for it. What comes back is how many of the given runs' makings are in the queue by this.
    """
    models_alone(c)
    asked = set(run_ids) & _removed(c, run_ids)
    queued = {lost: _queued(c, lost, QUEUED_ANEW) for lost in sorted(asked)}
    made = {lost: run_id for lost, (run_id, _) in queued.items()}
    seen: set[tuple[int, int]] = set()
    while fresh := _lacking(c) - seen:
        for run, lost in sorted(fresh):
            if lost not in made:
                made[lost], _ = _queued(c, lost)
            link = {"run_id": run, "role": AGAIN, "position": lost, "input_id": made[lost]}
            upsert(c, RunInput, [link])
        seen |= fresh
    return sum(changed for _, changed in queued.values())


def _removed(c: Connection, run_ids: Collection[int]) -> set[int]:
    found: set[int] = set()
    for part in in_parts(run_ids):
        mine = (Artifact.run_id.in_(part), Artifact.kind == REMOVED_MODEL)
        found |= set(c.execute(select(Artifact.run_id).where(*mine)).scalars())
    return found


def _lacking(c: Connection) -> set[tuple[int, int]]:
    """(waiting run, run whose removed model it needs)."""
    waiting = (Run.state == "waiting", Run.trashed_at.is_(None), Artifact.kind == REMOVED_MODEL)
    parents = select(Run.id, Artifact.run_id).join(Artifact, Artifact.run_id == Run.parent_id)
    given = select(Run.id, Artifact.run_id).join(RunInput, RunInput.run_id == Run.id)
    given = given.join(Artifact, Artifact.run_id == RunInput.input_id)
    queries = (parents.where(*waiting), given.where(*waiting, RunInput.role.not_in(LINKS)))
    return {(row[0], row[1]) for query in queries for row in c.execute(query)}


def _queued(c: Connection, lost: int, anew: Collection[str] = ("complete",)) -> tuple[int, bool]:
    """The run that makes a model again, and whether it was put in the queue now: a new one, or the one that did it before.

    One that failed waits for its retry, but none stays in the trash.
    """
    row = c.execute(select(Run.__table__).where(Run.id == lost)).mappings().one()
    name = hashlib.sha256(f"again {row['fingerprint']}".encode()).hexdigest()[:20]
    query = select(Run.id, Run.state, Run.trashed_at).where(Run.fingerprint == name)
    known = c.execute(query).one_or_none()
    if known is None:
        run_id = _inserted(c, dict(row), name)
    elif known.state in (QUEUED_ANEW if known.trashed_at else anew):
        run_id = _back(c, known.id, {**QUEUED_AGAIN, "priority": FIRST})
    elif known.trashed_at:
        run_id = _back(c, known.id, {})
    else:
        return int(known.id), False
    event(c, "submitted", f"to make the model of run {lost} again", run_id)
    return run_id, True


def _back(c: Connection, run_id: int, values: Mapping[str, Any]) -> int:
    c.execute(update(Run).where(Run.id == run_id).values({**values, "trashed_at": None}))
    return run_id


def _inserted(c: Connection, row: Mapping[str, Any], name: str) -> int:
    """A search is not done again: the model is made with what it had chosen."""
    chosen = (row["chosen"] or {}).get("parameters") if "search" in row["parameters"] else None
    parameters = {key: value for key, value in row["parameters"].items() if chosen is None or key != "search"}  # fmt: skip
    values = {key: row[key] for key in COPIED} | {"fingerprint": name, "origin": AGAIN}
    values |= {"parameters": {**parameters, **(chosen or {})}, "priority": FIRST}
    run_id = int(c.execute(insert(Run).returning(Run.id), values).scalar_one())
    skipped = (*LINKS, *TRIALS) if chosen is not None else LINKS
    mine = (RunInput.run_id == row["id"], RunInput.role.not_in(skipped))
    given = c.execute(select(RunInput.role, RunInput.position, RunInput.input_id).where(*mine))
    rows = [{**one, "run_id": run_id} for one in given.mappings()]
    link = {"run_id": run_id, "role": AGAIN_OF, "position": 0, "input_id": row["id"]}
    c.execute(insert(RunInput), [*rows, link])
    return run_id


def settle(c: Connection, run_id: int, sha256: str) -> None:
    """A run has a model again: forget that it was removed, and say whether it is the same."""
    mine = (Artifact.run_id == run_id, Artifact.kind == REMOVED_MODEL)
    before = c.execute(select(Artifact.sha256).where(*mine)).scalar()
    if before is None:
        return
    c.execute(delete(Artifact).where(*mine))
    same = "bit for bit the one that was measured" if before == sha256 else f"not bit for bit the one that was measured ({before[:12]} then, {sha256[:12]} now)"  # fmt: skip
    event(c, "model made again", same, run_id)
