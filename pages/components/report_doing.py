"""What a reader does to reports: every action one write in a callback, and what came of it said once at the top."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from backend.stage import UserError
from db.actor import present, signed
from db.session import DatabaseProblem
from pages.components import shown

READER = "reader's name"  # in the session
SAID = "said of reports"
LAST = "last report"  # in the session: which report was begun or added to last


def do(action: Callable[..., Any], *given: Any, said: str = "", **named: Any) -> Any:
    """Carry an action out; what it gives, or None with a sentence that says what is wrong."""
    try:
        found = action(*given, **named)
    except (DatabaseProblem, UserError) as problem:
        st.session_state[SAID] = ("error", str(problem))
        return None
    if said:
        st.session_state[SAID] = ("success", said)
    return found


def say() -> None:
    """What came of the last action."""
    kind, text = st.session_state.pop(SAID, ("", ""))
    if text:
        (st.error if kind == "error" else st.success)(shown.plain(text))


def reader() -> str:
    """The reader's name as far as it is known."""
    return signed(str(st.session_state.get(READER, "")))


def ask_reader() -> None:
    """A field for the reader's name, which stands beside everything that is done; who is signed in needs none."""
    if present().known:
        st.caption(f"Your name, {shown.plain(present().name)}, stands beside what you do.")
        return
    st.text_input(
        "Your name",
        key=READER,
        persist_state="session",
        max_chars=200,
        placeholder="for the audit trail",
        help="It stands beside what you do. Lethe does not check who you are.",
    )


def at(value: datetime | None) -> str:
    """A moment in the viewer's zone, and in UTC where that is another."""
    if shown.missing(value) or value is None:
        return shown.DASH
    try:
        zone = ZoneInfo(str(st.context.timezone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return shown.moment(value)[:-7] + " UTC"
    here = value.astimezone(zone)
    utc = f"{value:%H:%M} UTC"
    return f"{here:%Y-%m-%d %H:%M}" + (f" ({utc})" if here.utcoffset() else " UTC")
