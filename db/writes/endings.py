"""Which studies have just ended, told once, whoever asks."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, func, select

from db.live import KEPT, newest
from db.models import Event, Flag, Run, Study, StudyRun
from db.writes.rows import event, upsert

ENDS = ("complete", "failed", "cancelled")


@dataclass(frozen=True)
class Ended:
    """A study none of whose runs is at work or can begin: how many of them are in which state, `blocked` ones apart.

    Runs in the trash are left out.
    """

    name: str
    revision: int
    counts: dict[str, int]

    @property
    def words(self) -> str:
        """The states in words, largest first."""
        order = sorted(self.counts.items(), key=lambda item: -item[1])
        return ", ".join(f"{count} {state}" for state, count in order)


def take_ended(engine: Engine, run_ids: Iterable[int]) -> list[Ended]:
    """The studies of these runs that have ended since they were last taken; nobody gets the same end again."""
    asked = list(run_ids)
    if not asked:
        return []
    held = select(StudyRun.study_id).where(StudyRun.run_id.in_(asked))
    # The row's lock lets one worker at a time look (SQLite has one lock anyway).
    studies = select(Study.id, Study.name, Study.revision).where(
        Study.id.in_(held), Study.id.in_(newest())
    )
    with engine.begin() as c:
        rows = c.execute(studies.order_by(Study.id).with_for_update(of=Study)).all()
        states = {row.id: _counts(c, row.id) for row in rows}
        over = [row for row in rows if states[row.id] and not {"waiting", "running"} & states[row.id].keys()]  # fmt: skip
        found = [
            Ended(row.name, row.revision, states[row.id]) for row in over if _is_new(c, row.id)
        ]
        for one in found:
            event(c, "study ended", f"{one.name}: {one.words}")
    return found


def _counts(c: Connection, study: int) -> dict[str, int]:
    runs = select(Run.state, func.count(), func.count(Run.blocked_by)).join(
        StudyRun, StudyRun.run_id == Run.id
    )
    found: dict[str, int] = {}
    for state, count, blocked in c.execute(runs.where(StudyRun.study_id == study, KEPT).group_by(Run.state)):  # fmt: skip
        parts = {"blocked": blocked, "waiting": count - blocked} if state == "waiting" else {state: count}  # fmt: skip
        found |= {name: number for name, number in parts.items() if number}
    return found


def _is_new(c: Connection, study: int) -> bool:
    """Whether this end was not taken yet: since then another run has ended, or one has again."""
    runs = select(StudyRun.run_id).where(StudyRun.study_id == study)
    ends = select(func.max(Event.id)).where(Event.kind.in_(ENDS), Event.run_id.in_(runs))
    last, name = str(c.execute(ends).scalar()), f"study ended {study}"
    if c.execute(select(Flag.value).where(Flag.name == name)).scalar() == last:
        return False
    upsert(c, Flag, [{"name": name, "value": last}])
    return True
