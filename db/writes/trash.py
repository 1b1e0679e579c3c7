"""The trash: runs and studies that somebody deleted, until they are restored or the trash is emptied.

Nothing reads what is in the trash: no page shows it, no worker claims it, no frontier counts it. Its rows and files
stay, under the same fingerprints, so a study that is submitted again takes them back (see `db.writes.submission`).
`db.trash_rules` decides what may go.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, select, update

from db.models import Run, RunInput, Study, StudyRun
from db.session import DatabaseProblem
from db.trash_rules import removal
from db.writes.again import make_again
from db.writes.control import Deleted, delete_runs
from db.writes.guarded import needs
from db.writes.rows import AGAIN, ANEW, BAD, block, built_on, clock, event, in_parts, sweep


@needs("runner")
def trash_runs(engine: Engine, run_ids: Collection[int]) -> list[int]:
    """Move runs, and what was built on them, to the trash; the numbers of all that went.

    Raises:
        DatabaseProblem: one of them is running, or is a complete result of a study
    """
    with engine.begin() as c:
        plan = removal(c, run_ids)
        if plan.refused:
            raise DatabaseProblem(plan.refused)
        for part in in_parts(plan.runs):
            c.execute(update(Run).where(Run.id.in_(part)).values(trashed_at=clock(c)))
        if plan.runs:
            event(c, "moved to the trash", f"{len(plan.runs)} runs")
        block(c)
    return plan.runs


@needs("runner")
def trash_study(engine: Engine, name: str) -> int:
    """Move all revisions of a study to the trash, and the runs that no other study has; how many runs went.

    What was made of those outside of any study goes too, such as the making of a removed model.

    Raises:
        DatabaseProblem: there is no such study, or one of those runs is running
    """
    with engine.begin() as c:
        mine = list(c.execute(_revisions(name).where(Study.trashed_at.is_(None))).scalars())
        if not mine:
            raise DatabaseProblem(f"There is no study {name!r} in the database.")
        at = clock(c)
        c.execute(update(Study).where(Study.id.in_(mine)).values(trashed_at=at))
        count = sweep(c)
        going = select(Run.id).where(Run.trashed_at >= at, Run.state == "running")
        if c.execute(going.limit(1)).first() is not None:
            raise DatabaseProblem(f"{name} has running runs; cancel them first.")
        event(c, "moved to the trash", f"{name}: {count} runs that no other study has")
        block(c)
    return count


@needs("runner")
def restore_runs(engine: Engine, run_ids: Collection[int]) -> int:
    """Take runs out of the trash, with what they were built on; how many that were."""
    with engine.begin() as c:
        count = _restore(c, _above(c, set(run_ids)))
        if count:
            event(c, "restored", f"{count} runs")
        make_again(c)
        block(c)
    return count


@needs("runner")
def restore_study(engine: Engine, name: str) -> int:
    """Take a study out of the trash with all its runs; how many runs came back."""
    with engine.begin() as c:
        count = _restore_study(c, name)
        event(c, "restored", f"{name}: {count} runs")
        make_again(c)
        block(c)
    return count


def bring_back(c: Connection, name: str, run_ids: Collection[int]) -> None:
    """What a study that is submitted needs leaves the trash: its older revisions, and these runs.

    One that had failed or was cancelled was deleted because it failed, so it waits again.
    """
    if in_trash(c, name):
        _restore_study(c, name)
    for part in in_parts(run_ids):
        trashed = (Run.id.in_(part), Run.trashed_at.is_not(None))
        again = update(Run).where(*trashed, Run.state.in_(BAD)).values(**AGAIN, **ANEW)
        c.execute(again)
        _restore(c, part)


def in_trash(c: Connection, name: str) -> bool:
    """Whether a revision of the study is in the trash."""
    held = _revisions(name).where(Study.trashed_at.is_not(None)).limit(1)
    return c.execute(held).first() is not None


@needs("admin")
def empty_trash(engine: Engine) -> Deleted:
    """Remove everything in the trash for good, and what was built on it; the caller removes the files.

    Raises:
        DatabaseProblem: one of those runs is running
    """
    with engine.begin() as c:
        sweep(c)
        going = select(Run.id).where(Run.trashed_at.is_not(None), Run.state == "running")
        first = c.execute(going.order_by(Run.id).limit(1)).scalar()
        if first is not None:
            raise DatabaseProblem(f"Run {first} is running; cancel it first.")
        query = select(Run.id, Run.fingerprint).where(Run.trashed_at.is_not(None))
        rows = c.execute(query.order_by(Run.id.desc())).all()
        c.execute(delete(Study).where(Study.trashed_at.is_not(None)))
        files = delete_runs(c, [row.id for row in rows])
        event(c, "emptied the trash", f"{len(rows)} runs")
    return Deleted(len(rows), files, [row.fingerprint for row in rows])


def _revisions(name: str) -> Any:
    return select(Study.id).where(Study.name == name)


def _restore(c: Connection, run_ids: Collection[int]) -> int:
    count = 0
    for part in in_parts(run_ids):
        trashed = (Run.id.in_(part), Run.trashed_at.is_not(None))
        count += c.execute(update(Run).where(*trashed).values(trashed_at=None)).rowcount
    return count


def _restore_study(c: Connection, name: str) -> int:
    """With what went with it: what was built on its runs outside of any study."""
    mine = _revisions(name)
    since = c.execute(select(func.min(Study.trashed_at)).where(Study.name == name)).scalar()
    c.execute(update(Study).where(Study.name == name).values(trashed_at=None))
    held = select(StudyRun.run_id).where(StudyRun.study_id.in_(mine))
    fresh = list(c.execute(held.distinct()).scalars())
    count = _restore(c, fresh)
    while since is not None and fresh:
        went = select(Run.id).where(Run.trashed_at >= since)
        found = (c.execute(went.where(built_on(part))).scalars() for part in in_parts(fresh))
        fresh = sorted({run_id for part in found for run_id in part})
        count += _restore(c, fresh)
    return count


def _above(c: Connection, run_ids: set[int]) -> set[int]:
    """The runs and everything that they were built on."""
    found: set[int] = set()
    fresh = set(run_ids)
    while fresh:
        found |= fresh
        reached: set[int] = set()
        for part in in_parts(fresh):
            parents = select(Run.parent_id).where(Run.id.in_(part), Run.parent_id.is_not(None))
            given = select(RunInput.input_id).where(RunInput.run_id.in_(part))
            reached |= {one for one in c.execute(parents).scalars() if one is not None}
            reached |= set(c.execute(given).scalars())
        fresh = reached - found
    return found
