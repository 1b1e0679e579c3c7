"""What is done to a block of an open report; every function refuses a frozen one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, select, update

from db.models import ReportBlock
from db.session import DatabaseProblem
from db.writes.guarded import needs
from db.writes.reports import note, require_open, required, touch
from db.writes.rows import clock


@needs("runner")
def edit_block(
    engine: Engine,
    block_id: int,
    title: str,
    content: Mapping[str, Any],
    seen: datetime,
    author: str = "",
    new_data: bool = False,
) -> None:
    """Another title and content; with `new_data` the block's data are of now.

    `seen` is the block's `updated_at` that the change was made from: of two people who edit one block, the second one is
    told, and the first one's words stay.

    Raises:
        DatabaseProblem: there is no such block, the report is frozen, the block has changed since, or the title is empty
    """
    named = required(title, "block's title")
    with engine.begin() as c:
        block = _open_block(c, block_id)
        if block.updated_at != seen:
            raise DatabaseProblem(
                "Somebody else has changed this block meanwhile; open it again and change what is there now."
            )
        moment = clock(c)
        values: dict[str, Any] = {"title": named, "content": dict(content), "updated_at": moment}
        values |= {"created_at": moment} if new_data else {}
        c.execute(update(ReportBlock).where(ReportBlock.id == block_id).values(values))
        touch(c, block.report_id)
        kind = "data taken anew" if new_data else "block changed"
        note(c, block.report_id, kind, f"{block.kind}: {named}", author)


@needs("runner")
def move_block(engine: Engine, block_id: int, by: int, author: str = "") -> None:
    """Move a block by so many places, up where `by` is negative; at an end it stays there.

    Raises:
        DatabaseProblem: there is no such block, or the report is frozen
    """
    with engine.begin() as c:
        block = _open_block(c, block_id)
        mine = (ReportBlock.report_id == block.report_id, ReportBlock.removed_at.is_(None))
        order = (ReportBlock.position, ReportBlock.id)
        ids = list(c.execute(select(ReportBlock.id).where(*mine).order_by(*order)).scalars())
        before = ids.index(block_id)
        ids.insert(min(max(before + by, 0), len(ids) - 1), ids.pop(before))
        for position, one in enumerate(ids):
            moved = update(ReportBlock).where(ReportBlock.id == one)
            c.execute(moved.values(position=position))
        touch(c, block.report_id)
        note(c, block.report_id, "block moved", f"{block.kind}: {block.title}", author)


@needs("runner")
def remove_block(engine: Engine, block_id: int, away: bool = True, author: str = "") -> None:
    """Take a block out of its report, or bring it back to its place.

    Raises:
        DatabaseProblem: there is no such block, or the report is frozen
    """
    with engine.begin() as c:
        block = _open_block(c, block_id, removed=not away)
        values = {"removed_at": clock(c) if away else None}
        c.execute(update(ReportBlock).where(ReportBlock.id == block_id).values(values))
        touch(c, block.report_id)
        kind = "block removed" if away else "block brought back"
        note(c, block.report_id, kind, f"{block.kind}: {block.title}", author)


def _open_block(c: Connection, block_id: int, removed: bool = False) -> Any:
    wanted = ReportBlock.removed_at.is_not(None) if removed else ReportBlock.removed_at.is_(None)
    query = select(ReportBlock.__table__).where(ReportBlock.id == block_id, wanted)
    found = c.execute(query).first()
    if found is None:
        raise DatabaseProblem(f"There is no block {block_id} to change.")
    require_open(c, found.report_id)
    return found
