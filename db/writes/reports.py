"""Reports as a whole: made, named, frozen, decided on, put away. What is frozen stays as it is."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select, update

from db.actor import signed
from db.models import BLOCKS, DECISIONS, Report, ReportBlock, ReportEvent
from db.session import DatabaseProblem
from db.writes.guarded import needs
from db.writes.rows import clock

LONGEST = 200  # characters of a title or a name


@needs("runner")
def create_report(
    engine: Engine,
    title: str,
    author: str = "",
    blocks: Sequence[Mapping[str, Any]] = (),
    origin: str = "",
) -> int:
    """A new report with its blocks; its id.

    A block has kind, title, content and, where its data were taken earlier, `created_at`. `origin` says in the audit
    trail what the report was made from.

    Raises:
        DatabaseProblem: the title or a block's is empty or too long, or a block's kind is none
    """
    named = required(title, "title")
    made = [_new_block(one["kind"], one["title"], one["content"]) for one in blocks]
    with engine.begin() as c:
        moment = clock(c)
        times = {"created_at": moment, "updated_at": moment}
        written = insert(Report).values(title=named, **times).returning(Report.id)
        report_id = int(c.execute(written).scalar_one())
        note(c, report_id, "created", f"{named} {origin}".strip(), author)
        for position, (block, given) in enumerate(zip(made, blocks, strict=True)):
            place = {"report_id": report_id, "position": position}
            taken = {"created_at": given.get("created_at") or moment, "updated_at": moment}
            c.execute(insert(ReportBlock).values(**block, **place, **taken))
    return report_id


@needs("runner")
def add_block(
    engine: Engine,
    report_id: int,
    kind: str,
    title: str,
    content: Mapping[str, Any],
    author: str = "",
) -> int:
    """Append a block; its id.

    Raises:
        DatabaseProblem: there is no such report, it is frozen, or the block has no title or no known kind
    """
    block = _new_block(kind, title, content)
    with engine.begin() as c:
        require_open(c, report_id)
        mine = ReportBlock.report_id == report_id
        last = c.execute(select(func.max(ReportBlock.position)).where(mine)).scalar_one()
        moment = clock(c)
        place = {"report_id": report_id, "position": 0 if last is None else last + 1}
        times = {"created_at": moment, "updated_at": moment}
        made = insert(ReportBlock).values(**block, **place, **times).returning(ReportBlock.id)
        block_id = int(c.execute(made).scalar_one())
        touch(c, report_id)
        note(c, report_id, "block added", f"{kind}: {block['title']}", author)
    return block_id


@needs("runner")
def rename_report(engine: Engine, report_id: int, title: str, author: str = "") -> None:
    """Another title.

    Raises:
        DatabaseProblem: there is no such report, it is frozen, or the title is empty or too long
    """
    named = required(title, "title")
    with engine.begin() as c:
        require_open(c, report_id)
        c.execute(update(Report).where(Report.id == report_id).values(title=named))
        touch(c, report_id)
        note(c, report_id, "renamed", named, author)


@needs("reviewer")
def freeze_report(
    engine: Engine, report_id: int, frozen: str, seen: datetime, author: str = ""
) -> str:
    """Store what the report shows from now on, for good; the SHA-256 of its UTF-8 bytes.

    `seen` is the report's `updated_at` that `frozen` was made from.

    Raises:
        DatabaseProblem: there is no such report, it is frozen already, or it has changed since it was seen
    """
    found = hashlib.sha256(frozen.encode()).hexdigest()
    with engine.begin() as c:
        require_open(c, report_id)
        mine = (Report.id == report_id, Report.frozen_at.is_(None), Report.updated_at == seen)
        values = {"frozen": frozen, "sha256": found, "frozen_at": clock(c)}
        if c.execute(update(Report).where(*mine).values(values)).rowcount != 1:
            raise DatabaseProblem("The report has changed meanwhile; look at it and freeze again.")
        note(c, report_id, "frozen", f"SHA-256 {found}", author)
    return found


@needs("reviewer")
def decide(engine: Engine, report_id: int, verdict: str, reviewer: str, reason: str) -> None:
    """Add a decision to the audit trail of a frozen report; earlier ones stay.

    Raises:
        DatabaseProblem: there is no such report, it is not frozen, the verdict is none of `DECISIONS`, or the name or the
            reason is missing
    """
    if verdict not in DECISIONS:
        raise DatabaseProblem(f"{verdict!r} is no decision; choose {', '.join(DECISIONS)}.")
    name, why = required(signed(reviewer), "reviewer's name"), reason.strip()
    if not why:
        raise DatabaseProblem("A decision needs a reason.")
    with engine.begin() as c:
        if _found(c, report_id).frozen_at is None:
            raise DatabaseProblem("Only a frozen report can be decided on; freeze it first.")
        note(c, report_id, verdict, why, name)


@needs("runner")
def archive_report(engine: Engine, report_id: int, away: bool, author: str = "") -> None:
    """Put a report away, or back on the list; nothing of it is lost.

    Raises:
        DatabaseProblem: there is no such report
    """
    with engine.begin() as c:
        _found(c, report_id)
        values = {"archived_at": clock(c) if away else None}
        c.execute(update(Report).where(Report.id == report_id).values(values))
        note(c, report_id, "archived" if away else "brought back", "", author)


def required(text: str, what: str) -> str:
    """The text without spaces around it; DatabaseProblem where it is empty or too long."""
    given = " ".join(text.split())
    if not given:
        raise DatabaseProblem(f"The {what} is empty.")
    if len(given) > LONGEST:
        raise DatabaseProblem(f"The {what} has {len(given)} characters; {LONGEST} at most.")
    return given


def _new_block(kind: str, title: str, content: Mapping[str, Any]) -> dict[str, Any]:
    if kind not in BLOCKS:
        raise DatabaseProblem(f"{kind!r} is no kind of block; there are: {', '.join(BLOCKS)}.")
    return {"kind": kind, "title": required(title, "block's title"), "content": dict(content)}


def _found(c: Connection, report_id: int) -> Any:
    columns = (Report.title, Report.frozen_at)
    found = c.execute(select(*columns).where(Report.id == report_id)).first()
    if found is None:
        raise DatabaseProblem(f"There is no report {report_id}.")
    return found


def require_open(c: Connection, report_id: int) -> None:
    """Refuse what would change a report that is not there or is frozen."""
    found = _found(c, report_id)
    if found.frozen_at is not None:
        raise DatabaseProblem(f"The report {found.title!r} is frozen; copy it to change it.")


def touch(c: Connection, report_id: int) -> None:
    """Note that the report has changed."""
    c.execute(update(Report).where(Report.id == report_id).values(updated_at=clock(c)))


def note(c: Connection, report_id: int, kind: str, text: str, author: str = "") -> None:
    """One line of the audit trail, in the transaction of what it tells."""
    values = {"report_id": report_id, "kind": kind, "text": text}
    author = " ".join(signed(author).split())[:LONGEST]
    c.execute(insert(ReportEvent).values(**values, author=author, created_at=clock(c)))
