"""What is not in the trash."""

from typing import Any

from sqlalchemy import func, select

from db.models import Run, Study

KEPT = Run.trashed_at.is_(None)


def newest() -> Any:
    """A query of the ids of all studies' newest revisions, those in the trash apart."""
    return select(func.max(Study.id)).where(Study.trashed_at.is_(None)).group_by(Study.name)
