"""What machines were at, in as few points as a chart can show."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
from sqlalchemy import Double, Engine, cast, func, select

from db.models_watch import GpuSample, MachineSample
from db.reads.frames import frame

SPANS = (0, 300)  # seconds that a row stands for: named, so that the index serves the query


@dataclass(frozen=True)
class History:
    """A machine between two moments: `machine` has one row a step of `width` seconds, `gpus` one a step and card.

    `at` is the step's beginning in seconds since 1970; a step in which nobody looked has no row.
    """

    machine: pd.DataFrame
    gpus: pd.DataFrame
    width: int


def machine_hosts(engine: Engine, since: float) -> list[str]:
    """The machines of which there are samples since a moment (seconds since 1970), by name."""
    query = select(MachineSample.host).where(*_between(MachineSample, since, None)).distinct()
    return sorted(str(host) for host in frame(engine, query)["host"])


def machine_history(
    engine: Engine, host: str, since: float, until: float, points: int = 240
) -> History:
    """What a machine was at between two moments (seconds since 1970), the means of at most so many steps."""
    width = max(1, -(-int(until - since) // points))
    told = ("cpu", "memory_used", "memory_total", "disk_free")
    of_cards = ("used", "total", "busy", "temperature", "power")
    machine = _means(engine, MachineSample, told, (host, since, until), width)
    return History(machine, _means(engine, GpuSample, of_cards, (host, since, until), width), width)


def _means(
    engine: Engine,
    table: type[Any],
    names: tuple[str, ...],
    asked: tuple[str, float, float],
    width: int,
) -> pd.DataFrame:
    host, since, until = asked
    at = (table.at - table.at % width).label("at")
    by = [at, *([table.gpu] if table is GpuSample else [])]
    titles = [func.max(table.name).label("name")] if table is GpuSample else []
    means = [func.avg(cast(getattr(table, name), Double)).label(name) for name in names]
    query = select(*by, *titles, *means).where(table.host == host, *_between(table, since, until))
    found = frame(engine, query.group_by(*by).order_by(*by))
    return found.astype(dict.fromkeys(names, float))


def _between(table: type[Any], since: float, until: float | None) -> list[Any]:
    inside = [table.span.in_(SPANS), table.at >= int(since)]
    return [*inside, table.at <= int(until)] if until is not None else inside
