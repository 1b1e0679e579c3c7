"""Tags, notes and saved views."""

from typing import Any

import pandas as pd
from sqlalchemy import Engine, func, select

from db.models import Run
from db.models_marks import RunNote, RunTag, SavedView
from db.reads.frames import frame
from db.session import reader


def tags(engine: Engine) -> pd.DataFrame:
    """All tags with the number of runs that have them, the commonest first. Columns: tag, runs."""
    count = func.count().label("runs")
    query = select(RunTag.tag, count).join(Run, Run.id == RunTag.run_id)
    query = query.where(Run.trashed_at.is_(None)).group_by(RunTag.tag)
    return frame(engine, query.order_by(count.desc(), RunTag.tag))


def tags_of(engine: Engine, run_id: int) -> list[str]:
    """A run's tags in alphabetical order."""
    query = select(RunTag.tag).where(RunTag.run_id == run_id).order_by(RunTag.tag)
    with reader(engine).connect() as c:
        return list(c.execute(query).scalars())


def notes(engine: Engine, run_id: int) -> pd.DataFrame:
    """All versions of a run's note, the newest first. Columns: version, text, author, created_at."""
    columns = (RunNote.version, RunNote.text, RunNote.author, RunNote.created_at)
    query = select(*columns).where(RunNote.run_id == run_id)
    return frame(engine, query.order_by(RunNote.version.desc()))


def views(engine: Engine) -> list[dict[str, Any]]:
    """The saved views of the list of runs by name: id, name, address, created_at."""
    with reader(engine).connect() as c:
        rows = c.execute(select(SavedView.__table__).order_by(SavedView.name)).mappings()
        return [dict(row) for row in rows]
