"""Axes of parallel coordinates: every column on a scale of its own from 0 to 1, with the ticks that stand beside it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

MISSING = -0.12  # where a line passes an axis on which it has no value
MANY_TIMES = 50.0  # from this ratio on, positive values stand on a logarithmic scale
MOST_NAMES = 12


class Axis(NamedTuple):
    """A column's scale: where every row stands on it (`MISSING` without a value), and (position, label) of its ticks."""

    name: str
    positions: list[float]
    ticks: list[tuple[float, str]]
    logarithmic: bool


def varying(frame: pd.DataFrame, names: Iterable[str]) -> list[str]:
    """The columns on which rows differ and a scale can be drawn: not constant, and not a name for every row."""
    found = []
    for name in names:
        column = frame[name].map(_plain)
        distinct = set(column.dropna())
        gaps = bool(column.isna().any()) and len(distinct) > 0
        several = len(distinct) + gaps > 1
        if several and (_numbers(column) is not None or len(distinct) <= MOST_NAMES):
            found.append(name)
    return found


def axis_of(name: str, values: Sequence[Any]) -> Axis:
    """The scale of a column: numbers from the smallest to the largest, texts evenly spaced in alphabetical order."""
    column = pd.Series(list(values), dtype=object).map(_plain)
    numbers = _numbers(column)
    if numbers is None:
        return _of_names(name, column)
    numbers = numbers.astype(float).replace([math.inf, -math.inf], math.nan)
    known = numbers.dropna()
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    logarithmic = low > 0 and high / low >= MANY_TIMES
    scale = _scale(low, high, logarithmic)
    positions = [MISSING if pd.isna(one) else scale(float(one)) for one in numbers]
    inner = _round_values(low, high, logarithmic)
    marks = [low, *(one for one in inner if 0.06 < scale(one) < 0.94), high]
    ticks = [(scale(one), f"{one:.3g}") for one in dict.fromkeys(marks)]
    return Axis(name, positions, _with_missing(ticks, positions), logarithmic)


def lines(frame: pd.DataFrame, axes: Sequence[Axis], about: Mapping[str, str]) -> pd.DataFrame:
    """One row for each line and axis: row, place, axis, position, value (as a text), and the columns `about`, renamed."""
    parts = []
    for place, axis in enumerate(axes):
        told = {new: frame[old].tolist() for old, new in about.items()}
        values = [written(value) for value in frame[axis.name]]
        parts.append(pd.DataFrame({"row": range(len(frame)), "place": place, "axis": axis.name, "position": axis.positions, "value": values, **told}))  # fmt: skip
    columns = ["row", "place", "axis", "position", "value", *about.values()]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def written(value: Any) -> str:
    """A value as people read it; a dash for none."""
    plain = _plain(value)
    if plain is None:
        return "—"
    return f"{plain:.4g}" if isinstance(plain, float) else str(plain)


def _plain(value: Any) -> Any:
    if isinstance(value, list | dict | tuple):
        return str(value)
    if value is None or value is pd.NA or value != value:
        return None
    return value.item() if hasattr(value, "item") else value


def _numbers(column: pd.Series) -> pd.Series | None:
    """The column as numbers; None where a value is none."""
    known = column.dropna()
    fine = all(isinstance(one, int | float) and not isinstance(one, bool) for one in known)
    return pd.to_numeric(column) if fine else None


def _of_names(name: str, column: pd.Series) -> Axis:
    texts = [None if value is None or value != value else str(value) for value in column]
    order = sorted({text for text in texts if text is not None})
    place = {text: (k / (len(order) - 1) if len(order) > 1 else 0.5) for k, text in enumerate(order)}  # fmt: skip
    positions = [MISSING if text is None else place[text] for text in texts]
    return Axis(name, positions, _with_missing([(place[t], t) for t in order], positions), False)


def _with_missing(ticks: list[tuple[float, str]], positions: list[float]) -> list[tuple[float, str]]:  # fmt: skip
    return [(MISSING, "none"), *ticks] if MISSING in positions else ticks


def _scale(low: float, high: float, logarithmic: bool) -> Any:
    if logarithmic:
        low, high = math.log(low), math.log(high)
    width = high - low
    return lambda value: 0.5 if not width else ((math.log(value) if logarithmic else value) - low) / width  # fmt: skip


def _round_values(low: float, high: float, logarithmic: bool) -> list[float]:
    """A few round values between two ends."""
    if high <= low:
        return []
    if logarithmic:
        first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
        powers = range(first, last + 1, max(1, (last - first) // 4))
        return [10.0**power for power in powers]
    tenth = 10.0 ** math.floor(math.log10(high - low) - 0.3)
    step = next(tenth * k for k in (1, 2, 5, 10) if (high - low) / (tenth * k) <= 5)
    first = math.ceil(low / step)
    return [round(k * step, 12) for k in range(first, math.floor(high / step) + 1)]
