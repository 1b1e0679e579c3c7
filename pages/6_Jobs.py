"""What is running, what waits, what failed?"""

import app

app.guard()

from collections.abc import Callable  # noqa: E402
from datetime import UTC, datetime  # noqa: E402
from typing import Any  # noqa: E402

import pandas as pd  # noqa: E402
import streamlit as st  # noqa: E402
from sqlalchemy import Engine  # noqa: E402

from backend.charts.training import loss_chart  # noqa: E402
from db import reads as database  # noqa: E402
from db import writes  # noqa: E402
from pages.components import reads  # noqa: E402
from pages.components.pulse import pulse  # noqa: E402
from pages.components.starting import start_worker  # noqa: E402


def controls(engine: Engine) -> None:
    """Worker and queue as a whole."""
    workers = database.workers(engine)
    alive = bool(len(workers)) and bool(workers["alive"].any())
    paused = database.paused(engine)
    st.markdown(pulse(engine) + (" · ⏸ the queue is paused" if paused else ""))
    with st.container(horizontal=True):
        if st.button("Start a worker", disabled=alive, help="on this machine, in the background"):
            with st.spinner("Starting a worker …"):
                st.toast(start_worker(engine))
            st.rerun()
        if alive and st.button(
            "Stop the worker", help="what runs goes on from its state next time"
        ):
            for worker in workers[workers["alive"].astype(bool)]["id"]:
                writes.request_stop(engine, worker)
            st.toast("The worker stops once its runs have handed over their state.")
        if st.button("Continue the queue" if paused else "Pause the queue"):
            writes.set_paused(engine, not paused)
            st.rerun()


def live(engine: Engine) -> None:
    """What runs now, redrawn every two seconds for as long as there is work."""
    counts = database.counts(engine)
    left = counts.get("waiting", 0) - counts.get("blocked", 0) + counts.get("running", 0)

    @st.fragment(run_every=2 if left else None)
    def running() -> None:
        now = database.counts(engine)
        done = now.get("complete", 0)
        still = now.get("waiting", 0) - now.get("blocked", 0) + now.get("running", 0)
        st.progress(
            done / max(1, done + still),
            text=f"{done} complete, {now.get('running', 0)} running, {still} to go",
        )
        frame = database.runs_in(engine, ["running"])
        for row in frame.to_dict("records"):
            run_card(engine, {str(key): value for key, value in row.items()})
        if not still and left:
            st.rerun()

    running()


def run_card(engine: Engine, row: dict[str, Any]) -> None:
    """One running run: progress, time left, loss curve, cancel."""
    with st.container(border=True):
        columns = st.columns([3, 2, 1], vertical_alignment="center")
        step, total = row["step"], row["steps_total"]
        known = step == step and total == total and step is not None and bool(total)
        share = float(step) / float(total) if known else 0.0
        name = f"Run {row['id']} · {row['stage']} {row['name']}, seed {row['seed']}"
        told = f"{name} · step {int(step)} of {int(total)} · {row['message'] or ''} · {eta(row, share)}"
        columns[0].progress(min(share, 1.0), text=told if known else f"{name} · starting")
        curve = database.measurements(
            engine, run_ids=[row["id"]], splits=["train"], metrics=["loss"]
        )
        if len(curve) > 1:
            columns[1].altair_chart(loss_chart(curve).properties(height=90), key=f"loss{row['id']}")
        if columns[2].button("Cancel", key=f"cancel{row['id']}"):
            writes.request_cancel(engine, [row["id"]])


def eta(row: dict[str, Any], share: float) -> str:
    """The time left, from the pace so far."""
    if share <= 0 or row["started_at"] is None:
        return ""
    spent = (datetime.now(UTC) - pd.Timestamp(row["started_at"])).total_seconds()
    return f"about {spent / share * (1 - share):.0f} s left"


def listed(
    engine: Engine,
    states: list[str],
    title: str,
    empty: str,
    act: Callable[[Engine, list[int]], None],
) -> None:
    """A table of runs with what can be done to the chosen ones."""
    st.subheader(title)
    runs = database.runs_in(engine, states)
    if runs.empty:
        st.caption(empty)
        return
    columns = ["id", "stage", "name", "seed", "state", "priority", "blocked_by", "attempt", "error"]
    event = st.dataframe(
        runs[columns], hide_index=True, on_select="rerun", selection_mode="multi-row", key=f"table_{title}", width="stretch", height=min(420, 38 * (len(runs) + 1)),
    )  # fmt: skip
    rows = event["selection"]["rows"] if event else []
    act(engine, [int(run) for run in runs.iloc[rows]["id"]] if rows else [])


def waiting_actions(engine: Engine, ids: list[int]) -> None:
    with st.container(horizontal=True):
        if st.button("Cancel the chosen", disabled=not ids):
            writes.request_cancel(engine, ids)
            st.rerun()
        if st.button("Do the chosen first", disabled=not ids):
            writes.set_priority(engine, ids, 10)
            st.rerun()


def ended_actions(engine: Engine, ids: list[int]) -> None:
    with st.container(horizontal=True):
        if st.button("Retry the chosen", disabled=not ids, help="from their kept state"):
            writes.retry(engine, ids)
            st.rerun()
        if st.button("Retry from the start", disabled=not ids):
            writes.retry(engine, ids, fresh=True)
            st.rerun()
    for run_id in ids:
        run = database.run(engine, run_id)
        if run and run["traceback"]:
            with st.expander(f"Traceback of run {run_id}"):
                st.code(run["traceback"], language="text")


st.title("Jobs")
st.markdown("**What is running, what waits, what failed?**")
found = reads.engine()
if found is None:
    reads.nothing_yet("Nothing was submitted yet.")
else:
    controls(found)
    live(found)
    listed(found, ["waiting"], "Waiting", "Nothing waits.", waiting_actions)
    listed(found, ["failed", "cancelled"], "Failed and cancelled", "Nothing failed.", ended_actions)
