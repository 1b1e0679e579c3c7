"""What a machine was at as lines of charts: one measure each, broken where nobody looked."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

SAMPLE_SECONDS = 20  # as the worker looks
LOOSE = 2.5  # times the usual distance between two points; beyond that somebody was away
THINNED = 300  # seconds that older rows stand for


@dataclass(frozen=True)
class Measure:
    """What one small chart shows: its name, its unit (%, bytes, °C or W), and whether it is a GPU's."""

    name: str
    title: str
    unit: str
    of_gpu: bool = False


MEASURES = (
    Measure("cpu", "Processors", "%"),
    Measure("memory_used", "Memory in use", "bytes"),
    Measure("disk_free", "Free disk", "bytes"),
    Measure("busy", "GPU load", "%", True),
    Measure("used", "GPU memory in use", "bytes", True),
    Measure("temperature", "GPU temperature", "°C", True),
    Measure("power", "GPU power", "W", True),
)
COLUMNS = ["measure", "title", "unit", "series", "card", "at", "value", "most", "alone"]
TOTALS = {"memory_used": "memory_total", "used": "total"}


def lines(machine: pd.DataFrame, gpus: pd.DataFrame, width: int) -> pd.DataFrame:
    """One row a measure, series and moment, as `db.reads.machine_history` gives it; measures that nobody told are left out.

    Columns: measure, title, unit, series (the card's number, "" for the machine), card (its name), at (a moment in UTC), value, most
    (the largest that it can be, or null) and alone (a point without a neighbour). A row without a value stands in every gap.
    """
    found = []
    for measure in MEASURES:
        rows = gpus if measure.of_gpu else machine
        for series, part in _series(rows, measure.of_gpu).items():
            known = part[part[measure.name].notna()]
            if len(known):
                found.append(_line(known, measure, series, width))
    made = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=COLUMNS)
    return made[COLUMNS]


def _series(rows: pd.DataFrame, of_gpu: bool) -> Mapping[str, pd.DataFrame]:
    if not of_gpu:
        return {"": rows}
    return {str(gpu): part for gpu, part in rows.groupby("gpu")}


def _line(rows: pd.DataFrame, measure: Measure, series: str, width: int) -> pd.DataFrame:
    """The points of one line, with an empty one behind each that has no next one in time."""
    rows = rows.sort_values("at")
    at = rows["at"].astype(float)
    ahead, behind = at.shift(-1) - at, at - at.shift()
    usual = max(width, SAMPLE_SECONDS)
    if len(at) > 2 and float(at.diff().median()) > usual:  # older rows, which are means
        usual = THINNED if usual < THINNED else usual
    gap = ahead > LOOSE * usual
    most = rows[TOTALS[measure.name]] if measure.name in TOTALS else 100.0 if measure.unit == "%" else None  # fmt: skip
    points = pd.DataFrame({"at": at, "value": rows[measure.name].astype(float), "most": most})
    points["alone"] = ~(ahead <= LOOSE * usual) & ~(behind <= LOOSE * usual)
    holes = pd.DataFrame({"at": at[gap] + usual, "value": float("nan"), "most": None, "alone": False})  # fmt: skip
    made = pd.concat([points, holes] if len(holes) else [points]).sort_values("at")
    moments = pd.to_datetime(made["at"], unit="s", utc=True)
    about = {"measure": measure.name, "title": measure.title, "unit": measure.unit}
    card = str(rows["name"].iloc[-1]) if measure.of_gpu else ""
    return made.assign(**about, series=series, card=card, at=moments)


def in_words(rows: pd.DataFrame) -> dict[str, tuple[float, float, float]]:
    """(lowest, highest, last) of every measure that there are values of, by name."""
    found = {}
    for name, part in rows[rows["value"].notna()].groupby("measure", sort=False):
        values = part.sort_values("at")["value"]
        found[str(name)] = (float(values.min()), float(values.max()), float(values.iloc[-1]))
    return found
