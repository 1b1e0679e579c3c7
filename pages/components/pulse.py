"""The sidebar: is somebody working, and how much is left."""

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from backend import plugins
from db import reads
from db.session import DatabaseProblem, open_database
from pages.components.shown import DASH, plain, size


def sidebar() -> None:
    """The worker's pulse and the queue in two lines, and refused plugins; a database problem is the page's to tell."""
    for sentence in plugins.refused():
        st.sidebar.error(plain(sentence))
    try:
        engine = open_database(create=False)
    except DatabaseProblem:
        return
    if engine is not None:
        with st.sidebar:
            _follow(engine)


@st.fragment(run_every=5)
def _follow(engine: Engine) -> None:
    counts, workers = reads.counts(engine), reads.workers(engine)
    st.markdown(pulse(workers))
    left = counts.get("waiting", 0) - counts.get("blocked", 0)
    parts = [f"{counts.get('running', 0)} running", f"{left} waiting"]
    parts += [f"{counts['failed']} failed"] if counts.get("failed") else []
    st.markdown(" · ".join(parts))
    st.markdown("\n\n".join(loads(workers)))


def pulse(workers: pd.DataFrame) -> str:
    """One phrase on the workers that are alive; `workers` as `db.reads.workers` gives them."""
    alive = workers[workers["alive"].astype(bool)] if len(workers) else workers
    if alive.empty:
        return ":gray[●] No worker is running"
    slots, age = int(alive["slots"].sum()), float(alive["age"].min())
    return f":green[●] Worker with {slots} slot{'s' * (slots != 1)}, seen {age:.0f} s ago"


def loads(workers: pd.DataFrame) -> list[str]:
    """What the machines of the living workers are at: memory, and each GPU's load and memory."""
    told = []
    for row in workers[workers["alive"].astype(bool)].to_dict("records") if len(workers) else []:
        found = row["machine"] or {}
        if found:
            told.append(f"Memory {size(found['memory_used'])} of {size(found['memory_total'])}")
        if short := found.get("next_run"):
            told.append(
                f"The next run needs {size(short['needs'])}; {size(short['left'])} are left"
            )
        for gpu in found.get("gpus", []):
            busy = DASH if gpu["busy"] is None else f"{gpu['busy']} %"
            told.append(
                f"{plain(gpu['name'])}: {busy}, {size(gpu['used'])} of {size(gpu['total'])}"
            )
    return told
