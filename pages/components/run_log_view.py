"""What a run said while it worked: its log on the run's page, as plain text."""

import json
from datetime import datetime
from typing import Any

import streamlit as st
from sqlalchemy import Engine

from backend.log_lines import LEVELS, words
from backend.log_reading import MOST, run_log
from db import reads
from db.session import home
from pages.components import shown

SHOWN = 300  # lines on the page; the download has more
LONG = 25  # lines from which on the text scrolls by itself
NAMES = {"info": "Everything", "warning": "Warnings and errors", "error": "Errors"}


def log_tab(engine: Engine, run: dict[str, Any]) -> None:
    """The log, newest last, by level, with its file; of a run at work it follows every two seconds."""
    chosen = st.segmented_control(
        "Level",
        LEVELS,
        default="info",
        required=True,
        key="log_level",
        format_func=lambda name: NAMES[name],
    )
    level = str(chosen)

    @st.fragment(run_every=2 if run["state"] == "running" else None)
    def follow() -> None:
        now = reads.run(engine, run["id"]) if run["state"] == "running" else run
        if now is not None and now["state"] != run["state"]:
            st.rerun()  # it has ended: nothing more is to be followed
        _log(engine, now or run, level)

    follow()


def _log(engine: Engine, run: dict[str, Any], level: str) -> None:
    told = run_log(engine, run, home(), level, MOST)
    lines = told["lines"]
    if told["why"]:
        st.caption(shown.plain(told["why"]))
    if not lines:
        if told["source"]:
            st.info("The log has no line of this level.")
        return
    if len(lines) > SHOWN:
        st.caption(f"The last {SHOWN} of {told['total']} lines.")
    text = "\n".join(words(line, _when(line["time"])) for line in lines[-SHOWN:])
    # The newest line stands at the end, which is what somebody looks for first.
    long = text.count("\n") >= LONG
    with st.container(height=560 if long else "content", border=False, autoscroll=long):
        st.code(text, language=None, wrap_lines=True)
    st.download_button(
        "Download as .jsonl",
        data=lambda: _file(told["lines"]),
        file_name=f"run-{run['id']}-log.jsonl",
        mime="application/jsonl",
        on_click="ignore",
        key="log_file",
    )


def _file(lines: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


def _when(time: str) -> str:
    """The moment of a line in the viewer's zone."""
    return f"{datetime.fromisoformat(time).astimezone(shown.zone()):%m-%d %H:%M:%S}"
