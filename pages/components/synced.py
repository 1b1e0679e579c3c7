"""Widgets that show what the address says, and what to do when a reader changes one."""

from collections.abc import Callable
from typing import Any

import streamlit as st


def synced(name: str, value: Any) -> str:
    """The key of a widget that shall show `value`, which the caller gives it as its default too.

    Another key where the address says something else than the widget does, as after the browser's Back. To set the
    state of the old one would be shorter, but the browser may miss that: of two runs of the page in quick succession
    it draws the second only, in which nothing was set, takes the default for what the reader chose, and sends it.
    """
    number = st.session_state.setdefault(f"{name} number", 0)
    if st.session_state.get(f"{name} {number}", value) != value:
        st.session_state[f"{name} number"] = number = number + 1
    return f"{name} {number}"


def taken(key: str, act: Callable[[Any], None]) -> Callable[[], None]:
    """A widget's `on_change`: hands `act` what the reader chose."""
    return lambda: act(st.session_state[key])
