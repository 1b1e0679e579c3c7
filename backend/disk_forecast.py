"""Will it fit? What waiting runs, and a study that is about to be queued, will write, beside the room that there is."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

import pandas as pd
from sqlalchemy import Engine

from backend.engines.local import default_slots
from backend.engines.machine import free_disk
from backend.flops import parameters
from backend.plan import PlannedRun
from backend.settings import outlined_task
from backend.stage import KEEP_ENDPOINT, UserError
from db import reads
from db.models import MODEL_STAGES, now
from db.session import home

HALF = ("pure_bf16", "pure_fp16")  # precisions whose weights take two bytes, others four
RESUME = 3.0  # times the model: its weights, and AdamW's two means
ROWS = 20_000.0  # bytes of a run's rows and log where too few have ended to tell: 10 to 18 kB in small studies
ENOUGH = 20  # runs that tell it
LOG = 2_000.0  # of them the log, which lies beside the database
RATE_WINDOW = timedelta(days=1)
SHORTEST = 3600.0  # seconds over which a rate is a rate
DISTANT = 365.0  # days beyond which nobody asks

Kind = tuple[str, str, str, str]  # stage, name, setting as text, precision


@dataclass(frozen=True)
class DiskForecast:
    """Bytes: free now, that waiting and running runs will keep, that their resume states may take meanwhile, of new runs.

    `rate` is what recent runs wrote, in bytes a second; `unknown` counts models whose size nothing tells.
    """

    place: str
    free: int
    waiting: float = 0.0
    resume: float = 0.0
    new: float = 0.0
    rate: float = 0.0
    unknown: int = 0

    @property
    def needed(self) -> float:
        """All that is still to be written, at its largest."""
        return self.waiting + self.resume + self.new

    @property
    def fits(self) -> bool:
        """Whether there is room for it."""
        return self.needed <= self.free

    @property
    def days(self) -> float | None:
        """Until the disk is full at the recent rate; None where nothing was written lately, or that is far away."""
        days = self.free / self.rate / 86_400 if self.rate > 0 else DISTANT
        return days if days < DISTANT else None

    @property
    def words(self) -> str:
        """The forecast in a sentence."""
        told = [f"{amount(self.free)} free"]
        if self.waiting or self.resume:
            states = f", with resume states up to {amount(self.waiting + self.resume)}" if self.resume else ""  # fmt: skip
            told.append(f"waiting runs need about {amount(self.waiting)}{states}")
        if self.new:
            told.append(f"this study about {amount(self.new)}")
        if self.days is not None:
            told.append(f"at the rate of the last day full in {_days(self.days)}")
        if self.unknown:
            told.append(f"{self.unknown} models of unknown size left out")
        return "; ".join(told)

    @property
    def warning(self) -> str:
        """What to do where it does not fit; empty where it does."""
        if self.fits:
            return ""
        return f"The disk is too small: {self.words}. Free some space (`gc` says what may go), or choose another LETHE_HOME."  # fmt: skip


def disk_forecast(engine: Engine | None, new: Sequence[PlannedRun] = ()) -> DiskForecast:
    """The forecast for the data directory, with runs that are planned and not queued yet."""
    place, free = free_disk(home())
    sizes = _Sizes(pd.DataFrame() if engine is None else reads.model_sizes(engine))
    rows = ROWS if engine is None else _rows_bytes(engine)
    planned = _counted(new)
    of_new = sizes.total(planned) + rows * len(new)
    if engine is None:
        at_once = _states(default_slots(), planned, sizes)
        return DiskForecast(str(place), free, resume=at_once, new=of_new, unknown=sizes.unknown)
    waiting = _stored(reads.models_to_come(engine))
    counts = reads.counts(engine)
    left = counts["waiting"] - counts["blocked"] + counts["running"]
    kept = sizes.total(waiting) + rows * left
    resume = _states(_slots(engine), _together(waiting, planned), sizes)
    return DiskForecast(str(place), free, kept, resume, of_new, _rate(engine), sizes.unknown)


def plain(found: DiskForecast) -> dict[str, Any]:
    """The forecast as a document."""
    told = {name: getattr(found, name) for name in ("free", "waiting", "resume", "new", "needed")}
    return {**told, "fits": found.fits, "days": found.days, "says": found.words, "warning": found.warning}  # fmt: skip


def amount(size: float) -> str:
    """Bytes in GB, or in MB where that says more."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _days(days: float) -> str:
    return f"{days:.0f} days" if days >= 2 else f"{max(1, round(24 * days))} hours"


class _Sizes:
    """How large a model of a kind comes out: as those of its kind did, else of its setting, else by its shape."""

    def __init__(self, known: pd.DataFrame):
        self.unknown = 0
        self._exact: dict[Kind, float] = {}
        self._alike: dict[tuple[str, str], list[float]] = {}
        for row in known.to_dict("records"):
            kind = _kind(row)
            self._exact[kind] = float(row["bytes"])
            self._alike.setdefault(kind[2:], []).append(float(row["bytes"]))

    def _of(self, kind: Kind) -> float | None:
        alike = self._alike.get(kind[2:])
        if kind in self._exact or alike:
            return self._exact.get(kind) or sum(alike or [0]) / len(alike or [0])
        return weights_bytes(kind[2], kind[3])

    def total(self, wanted: Mapping[Kind, int]) -> float:
        """Bytes of so many models of each kind; those of unknown size are counted in `unknown`."""
        found = {kind: self._of(kind) for kind in wanted}
        self.unknown += sum(count for kind, count in wanted.items() if found[kind] is None)
        return sum(count * (found[kind] or 0.0) for kind, count in wanted.items())

    def largest(self, wanted: Iterable[Kind]) -> float:
        """Bytes of the largest of them."""
        return max((self._of(kind) or 0.0 for kind in wanted), default=0.0)


@lru_cache(maxsize=64)
def weights_bytes(setting: str, precision: str) -> float | None:
    """Bytes of a setting's model by its shape, the setting as `_kind` writes it; None where it cannot be made here."""
    told = json.loads(setting)
    try:
        task = outlined_task(told["name"], told["parameters"])
    except (UserError, KeyError, TypeError, ValueError, OSError):
        return None
    return (2.0 if precision in HALF else 4.0) * parameters(task.model)


def _kind(row: Mapping[Any, Any]) -> Kind:
    about = {key: row["setting"].get(key) for key in ("name", "parameters")}
    told = json.dumps(about, sort_keys=True, default=str)
    return str(row["stage"]), str(row["name"]), told, str(row["precision"])


def _states(slots: int, wanted: Mapping[Kind, int], sizes: _Sizes) -> float:
    """Bytes of the states of as many runs as can be at work at once."""
    return RESUME * min(slots, sum(wanted.values())) * sizes.largest(wanted)


def _together(one: Mapping[Kind, int], other: Mapping[Kind, int]) -> dict[Kind, int]:
    return {kind: one.get(kind, 0) + other.get(kind, 0) for kind in {*one, *other}}


def _stored(rows: pd.DataFrame) -> dict[Kind, int]:
    found: dict[Kind, int] = {}
    for row in rows.to_dict("records"):
        kind = _kind(row)
        found[kind] = found.get(kind, 0) + int(row["count"])
    return found


def _counted(runs: Iterable[PlannedRun]) -> dict[Kind, int]:
    found: dict[Kind, int] = {}
    for run in runs:
        if run.stage in MODEL_STAGES or run.parameters.get(KEEP_ENDPOINT):
            kind = _kind(vars(run))
            found[kind] = found.get(kind, 0) + 1
    return found


def _rows_bytes(engine: Engine) -> float:
    """What a run leaves in the database, by its size and the runs that have ended in it."""
    size, ended = reads.database_bytes(engine), reads.counts(engine)["complete"]
    return size / ended + LOG if size is not None and ended >= ENOUGH else ROWS


def _slots(engine: Engine) -> int:
    """How many runs are at work side by side: the living workers' slots, else those that one would have here."""
    alive = reads.living_workers(engine)
    return int(alive["slots"].sum()) if len(alive) else default_slots()


def _rate(engine: Engine) -> float:
    """Bytes a second of models over the last day, or since the first of them, an hour at least."""
    written, first = reads.models_written(engine, now() - RATE_WINDOW)
    if not written or first is None:
        return 0.0
    return written / max(SHORTEST, (now() - first).total_seconds())
