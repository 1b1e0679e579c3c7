"""Values as people read them; what is missing is a dash, never a zero."""

import re
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
import streamlit as st

DASH = "—"
# Plain characters, because tables show them with the reader's fonts.
SIGNS = {
    "complete": "✓ complete",
    "running": "▸ running",
    "waiting": "… waiting",
    "failed": "✗ failed",
    "cancelled": "× cancelled",
    "lost": "? lost",
    "blocked": "! blocked",
}


def plain(text: str) -> str:
    """A text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]{}()#+!|<>~$:-])", r"\\\1", text)


def missing(value: Any) -> bool:
    """Whether there is no value: None, NaN or pandas' NA."""
    return value is None or value is pd.NA or value is pd.NaT or value != value


def number(value: Any, digits: int = 3) -> str:
    """A number with a fixed count of decimals."""
    return DASH if missing(value) else f"{float(value):.{digits}f}"


def whole(value: Any) -> str:
    """A whole number with thin groups of three."""
    return DASH if missing(value) else f"{int(value):,}".replace(",", "\u202f")


def seconds(value: Any) -> str:
    """A duration in the two largest units."""
    if missing(value):
        return DASH
    total = float(value)
    if total < 10:
        return f"{total:.1f} s"
    if total < 120:
        return f"{total:.0f} s"
    minutes = int(total // 60)
    if minutes < 120:
        return f"{minutes} min {int(total % 60)} s" if minutes < 10 else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def size(value: Any) -> str:
    """Bytes in the largest unit that keeps a digit."""
    if missing(value):
        return DASH
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def flops(value: Any) -> str:
    """FLOPs with a power of ten."""
    if missing(value):
        return DASH
    return "0" if value == 0 else f"{float(value):.2e}"


def moment(value: Any) -> str:
    """A point in time to the second, in the viewer's zone, which is named."""
    return DASH if missing(value) else f"{value.astimezone(zone()):%Y-%m-%d %H:%M:%S %Z}"


def zone() -> tzinfo:
    """The viewer's time zone as the browser tells it, else UTC."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):  # a browser may say anything
        return UTC


def since(value: Any) -> float | None:
    """Seconds from a moment to now."""
    return None if missing(value) else (datetime.now(UTC) - value).total_seconds()


def state(row: Any) -> str:
    """A run's state with a sign; a waiting run below a failed one is blocked."""
    blocked = row["state"] == "waiting" and not missing(row["blocked_by"])
    return SIGNS["blocked" if blocked else row["state"]]


def named(row: Any) -> str:
    """A run's stage and part, once where they are the same."""
    return row["stage"] if row["stage"] == row["name"] else f"{row['stage']} {row['name']}"


TELLING = {"learning_rate": "rate", "alpha": "α", "student": "student"}


def detailed(row: Any) -> str:
    """A run's name with the parameters by which runs of a grid differ most often."""
    given = row["parameters"]
    told = [f"{sign} {given[key]}" for key, sign in TELLING.items() if key in given]
    told += ["on the placebo"] if given.get("target") == "placebo" else []
    return ", ".join([named(row), *told])


def all_detailed(rows: pd.DataFrame) -> list[str]:
    """The same of every row of a frame, whose other columns are not looked at."""
    return [detailed(row) for row in rows[["stage", "name", "parameters"]].to_dict("records")]


def listed(values: dict[str, Any]) -> str:
    """Names and values in one line."""
    return ", ".join(f"{name} = {value}" for name, value in values.items()) or DASH


def quoted(text: str) -> str:
    """A text as one value of the filter of runs: in quotation marks where it needs them."""
    return text if re.fullmatch(r'[^\s",]+', text) else f'"{text.replace(chr(34), "*")}"'
