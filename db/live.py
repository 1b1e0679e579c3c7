"""What is not in the trash, and what a study waits for."""

from typing import Any

from sqlalchemy import func, select

from db.models import AGAIN, Run, RunInput, Study, StudyRun

KEPT = Run.trashed_at.is_(None)


def newest() -> Any:
    """A query of the ids of all studies' newest revisions, those in the trash apart."""
    return select(func.max(Study.id)).where(Study.trashed_at.is_(None)).group_by(Study.name)


def awaited(study_id: int) -> Any:
    """A query of the ids of the runs that make removed models again for waiting runs of this revision, at any remove."""
    waiting = (StudyRun.study_id == study_id, Run.state == "waiting", KEPT)
    first = select(RunInput.input_id.label("id")).join(Run, Run.id == RunInput.run_id)
    first = first.join(StudyRun, StudyRun.run_id == Run.id)
    found = first.where(*waiting, RunInput.role == AGAIN).cte("awaited", recursive=True)
    above = select(RunInput.input_id).join(found, found.c.id == RunInput.run_id)
    return select(found.union(above.where(RunInput.role == AGAIN)).c.id)
