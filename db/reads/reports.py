"""Reports and what is in them."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from sqlalchemy import Engine, func, select

from db.models import DECISIONS, Report, ReportBlock, ReportEvent, Run, StudyRun
from db.reads.frames import frame
from db.session import reader


def reports(engine: Engine) -> pd.DataFrame:
    """All reports, last changed first.

    Columns: id, title, created_at, updated_at, frozen_at, archived_at, blocks, decision (the last one's kind), decided_at.
    """
    shown = (
        Report.id,
        Report.title,
        Report.created_at,
        Report.updated_at,
        Report.frozen_at,
        Report.archived_at,
    )
    E = ReportEvent
    last = select(func.max(E.id)).where(E.report_id == Report.id, E.kind.in_(DECISIONS))
    last_id = last.correlate(Report).scalar_subquery()
    there = (ReportBlock.report_id == Report.id) & ReportBlock.removed_at.is_(None)
    query = select(
        *shown,
        func.count(ReportBlock.id).label("blocks"),
        E.kind.label("decision"),
        E.created_at.label("decided_at"),
    )
    query = query.join(ReportBlock, there, isouter=True).join(E, E.id == last_id, isouter=True)
    query = query.group_by(*shown, E.kind, E.created_at)
    return frame(engine, query.order_by(Report.updated_at.desc(), Report.id.desc()))


def report(engine: Engine, report_id: int) -> dict[str, Any] | None:
    """A report with its `blocks` and its `removed` ones, each in order; None where there is none.

    A block has id, kind, title, content, created_at, updated_at and removed_at; `frozen` is text.
    """
    with reader(engine).connect() as c:
        row = c.execute(select(Report.__table__).where(Report.id == report_id)).mappings().first()
        if row is None:
            return None
        query = select(ReportBlock.__table__).where(ReportBlock.report_id == report_id)
        found = c.execute(query.order_by(ReportBlock.position, ReportBlock.id)).mappings().all()
    blocks = [dict(block) for block in found]
    there = [block for block in blocks if block["removed_at"] is None]
    return {**row, "blocks": there, "removed": [b for b in blocks if b["removed_at"] is not None]}


def report_events(engine: Engine, report_id: int) -> pd.DataFrame:
    """The audit trail, first event first. Columns: kind, author, text, created_at."""
    columns = (ReportEvent.kind, ReportEvent.author, ReportEvent.text, ReportEvent.created_at)
    mine = select(*columns).where(ReportEvent.report_id == report_id)
    return frame(engine, mine.order_by(ReportEvent.id))


def finished_of_studies(engine: Engine, study_ids: Sequence[int]) -> pd.DataFrame:
    """The completed runs of some studies' revisions, by id: study_id, id, finished_at."""
    mine = select(StudyRun.study_id, Run.id, Run.finished_at).join(Run, Run.id == StudyRun.run_id)
    wanted = (StudyRun.study_id.in_([int(one) for one in study_ids]), Run.state == "complete")
    return frame(engine, mine.where(*wanted).order_by(Run.id))


def provenance(engine: Engine, run_ids: Sequence[int]) -> list[dict[str, Any]]:
    """What some runs are: id, fingerprint, stage, name, version, seed, precision, origin, finished_at, environment."""
    columns = (
        Run.id,
        Run.fingerprint,
        Run.stage,
        Run.name,
        Run.version,
        Run.seed,
        Run.precision,
        Run.origin,
        Run.finished_at,
        Run.environment,
    )
    wanted = [int(one) for one in run_ids]
    found: list[dict[str, Any]] = []
    with reader(engine).connect() as c:
        for start in range(0, len(wanted), 10_000):
            part = select(*columns).where(Run.id.in_(wanted[start : start + 10_000]))
            found += [dict(row) for row in c.execute(part.order_by(Run.id)).mappings()]
    return sorted(found, key=lambda row: int(row["id"]))
