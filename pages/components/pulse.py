"""The sidebar: is somebody working, and how much is left."""

import streamlit as st
from sqlalchemy import Engine

from db import reads
from db.session import DatabaseProblem, open_database


def sidebar() -> None:
    """The worker's pulse and the queue in two lines; a database problem is the page's to tell."""
    try:
        engine = open_database(create=False)
    except DatabaseProblem:
        return
    if engine is not None:
        with st.sidebar:
            _follow(engine)


@st.fragment(run_every=5)
def _follow(engine: Engine) -> None:
    counts = reads.counts(engine)
    st.markdown(pulse(engine))
    left = counts.get("waiting", 0) - counts.get("blocked", 0)
    parts = [f"{counts.get('running', 0)} running", f"{left} waiting"]
    parts += [f"{counts['failed']} failed"] if counts.get("failed") else []
    st.markdown(" · ".join(parts))


def pulse(engine: Engine) -> str:
    """One phrase on the workers that are alive."""
    workers = reads.workers(engine)
    alive = workers[workers["alive"].astype(bool)] if len(workers) else workers
    if alive.empty:
        return ":gray[●] No worker is running"
    slots, age = int(alive["slots"].sum()), float(alive["age"].min())
    return f":green[●] Worker with {slots} slot{'s' * (slots != 1)}, seen {age:.0f} s ago"
