"""What may go to the trash, and what goes with it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from db.live import newest
from db.models import Run, RunInput, Study, StudyRun

PART = 10_000  # in one IN list; SQLite takes 32,766


@dataclass(frozen=True)
class Removal:
    """All runs that would go, how many of them are built on the chosen ones, and one sentence where it is refused."""

    runs: list[int]
    built_on: int
    refused: str


def removal(c: Connection, run_ids: Collection[int]) -> Removal:
    """Work out what goes with these runs, and whether they may go.

    A run that is complete and belongs to the newest revision of a study is evidence: without it the study's frontier
    would be another one, or the hardest attack could be taken out of a worst case. Such a run stays; it can be
    archived, which only hides it from the list, or the whole study can go. What did not complete has no number in any
    frontier: its cell is missing before and after, and submitting the study queues it again. A run that only older
    revisions have may go too; an older revision then shows its cells as missing, never another number. Whatever was
    built on a run goes with it, and nothing that runs goes.
    """
    chosen = set(run_ids)
    every = _below(c, chosen)
    order = sorted(every)
    return Removal(order, len(every - chosen), _running(c, order) or _evidence(c, order, chosen))


def _parts(values: Collection[int]) -> list[list[int]]:
    held = sorted(values)
    return [held[start : start + PART] for start in range(0, len(held), PART)]


def _below(c: Connection, run_ids: set[int]) -> set[int]:
    """The runs and everything that descends from them through any input; what is in the trash apart."""
    found: set[int] = set()
    fresh = set(run_ids)
    while fresh:
        found |= fresh
        reached: set[int] = set()
        for part in _parts(fresh):
            children = select(Run.id).where(Run.parent_id.in_(part))
            given = select(RunInput.run_id).where(RunInput.input_id.in_(part))
            reached |= set(c.execute(children).scalars()) | set(c.execute(given).scalars())
        fresh = reached - found
    kept: set[int] = set()
    for part in _parts(found):
        alive = select(Run.id).where(Run.id.in_(part), Run.trashed_at.is_(None))
        kept |= set(c.execute(alive).scalars())
    return kept


def _running(c: Connection, run_ids: list[int]) -> str:
    for part in _parts(run_ids):
        query = select(Run.id).where(Run.id.in_(part), Run.state == "running").order_by(Run.id)
        first = c.execute(query.limit(1)).scalar()
        if first is not None:
            return f"Run {first} is running; cancel it first."
    return ""


def _evidence(c: Connection, run_ids: list[int], chosen: set[int]) -> str:
    rows: list[Any] = []
    for part in _parts(run_ids):
        query = (
            select(Run.id, Study.name)
            .join(StudyRun, StudyRun.run_id == Run.id)
            .join(Study, Study.id == StudyRun.study_id)
            .where(Run.id.in_(part), Run.state == "complete", Study.id.in_(newest()))
        )
        rows += c.execute(query.order_by(Run.id, Study.name)).all()
    if not rows:
        return ""
    first, study = rows[0]
    count = len({row[0] for row in rows})
    which = f"Run {first}" if count == 1 else f"{count} runs, run {first} among them,"
    verb = "is a complete result" if count == 1 else "are complete results"
    built = "" if first in chosen else " (built on what you chose)"
    return (
        f"{which}{built} {verb} of the study {study}, whose frontier would change; archive it instead, or move the whole study"
        " to the trash."
    )
