"""What machines were at: a sample now and then, thinned as it ages."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Connection, Double, Engine, cast, delete, func, select

from db.models import Flag
from db.models_watch import GpuSample, MachineSample
from db.writes.rows import clock, upsert

RAW_SECONDS = 86_400  # samples stay as they are for a day
SPAN = 300  # then their means over so many seconds stay …
KEPT_SECONDS = 30 * 86_400  # … for a month
TIDY_SECONDS = 3_600  # between two rounds, whichever worker makes them
ROUND_SECONDS = 6 * 3_600  # of the oldest samples that one round takes together
TIDIED = "machines tidied"
TABLES: tuple[type[Any], ...] = (MachineSample, GpuSample)
MEANS = ("cpu", "memory_used", "memory_total", "disk_free", "used", "total", "busy", "temperature", "power")  # fmt: skip


def sample_machine(engine: Engine, host: str, sample: Mapping[str, Any]) -> None:
    """Keep what a machine is at, as `backend.engines.machine` tells it, under the database's clock."""
    with engine.begin() as c:
        key = {"host": host[:200], "at": int(clock(c).timestamp()), "span": 0}
        names = ("cpu", "memory_used", "memory_total", "disk_free")
        upsert(c, MachineSample, [{**key, **{name: sample.get(name) for name in names}}])
        told = ("used", "total", "busy", "temperature", "power")
        cards = [
            {**key, "gpu": k, "name": str(card["name"])[:200], **{name: card.get(name) for name in told}}
            for k, card in enumerate(sample.get("gpus", []))
        ]  # fmt: skip
        upsert(c, GpuSample, cards)


def tidy_samples(engine: Engine) -> bool:
    """Thin old samples and forget very old ones; False where a worker did so within the hour.

    One round takes together the samples of six hours at most, so that it is short however long nobody came.
    """
    with engine.begin() as c:
        at = int(clock(c).timestamp())
        if not _is_due(c, at):
            return False
        for table in TABLES:
            _thin(c, table, at)
            c.execute(delete(table).where(table.span == SPAN, table.at < at - KEPT_SECONDS))
    return True


def _is_due(c: Connection, at: int) -> bool:
    # The row's lock lets one worker at a time look (SQLite has one lock anyway).
    query = select(Flag.value).where(Flag.name == TIDIED).with_for_update()
    last = c.execute(query).scalar()
    if last is not None and at - int(last) < TIDY_SECONDS:
        return False
    upsert(c, Flag, [{"name": TIDIED, "value": str(at)}])
    return True


def _thin(c: Connection, table: type[Any], at: int) -> None:
    oldest = c.execute(select(func.min(table.at)).where(table.span == 0)).scalar()
    if oldest is None:
        return
    until = min(at - RAW_SECONDS, int(oldest) + ROUND_SECONDS)
    until -= until % SPAN  # whole means only
    mine = (table.span == 0, table.at < until)
    start = (table.at - table.at % SPAN).label("at")
    by = [table.host, start, *([table.gpu] if table is GpuSample else [])]
    whole = [column.name for column in table.__table__.columns if column.name in MEANS and isinstance(column.type, BigInteger)]  # fmt: skip
    columns = [c for c in table.__table__.columns if c.name in MEANS]
    means = [func.avg(cast(column, Double)).label(column.name) for column in columns]
    names = [func.max(table.name).label("name")] if table is GpuSample else []
    rows = c.execute(select(*by, *names, *means).where(*mine).group_by(*by)).mappings()
    upsert(c, table, [{**_whole(row, whole), "span": SPAN} for row in rows])
    c.execute(delete(table).where(*mine))


def _whole(row: Mapping[Any, Any], names: list[str]) -> dict[str, Any]:
    """The row with bytes as whole numbers."""
    return {key: int(value) if key in names and value is not None else value for key, value in row.items()}  # fmt: skip
