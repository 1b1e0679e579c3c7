"""The queue's parts on the Jobs page: running, waiting, failed, blocked, and what happened."""

import html
from typing import Any

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from backend.charts.training import loss_chart
from backend.remaining import remaining
from db import reads, writes
from pages.components import shown
from pages.components.drawing import quickly
from pages.components.run_view import link
from pages.components.signing_in import beyond

MOST_CURVES = 6
LEFT = "What was expected of the runs that wait, at the pace of the latest finished ones, over the slots of the workers that live."


def totals(engine: Engine) -> None:
    """How many runs are in each state."""
    counts = reads.counts(engine)
    ready = counts["waiting"] - counts["blocked"]
    told = {
        "Running": counts["running"],
        "Waiting": ready,
        "Blocked": counts["blocked"],
        "Complete": counts["complete"],
        "Failed": counts["failed"],
        "Cancelled": counts["cancelled"],
    }
    for column, (label, count) in zip(st.columns(len(told)), told.items(), strict=True):
        column.metric(label, count)
    left = remaining(engine) if ready + counts["running"] else None
    if left is not None:
        st.caption(f"About {shown.seconds(left)} left.", help=LEFT)


def running(engine: Engine) -> None:
    """Every running run: how far, how long still, its curve, and a way to stop it."""
    st.subheader("Running")
    rows = reads.runs_in(engine, ("running",))
    if rows.empty:
        st.caption("Nothing is running.")
        return
    ids = [int(run) for run in rows["id"]][:MOST_CURVES]
    curves = reads.live_curves(engine, ids)
    for row in rows.to_dict("records"):
        with st.container(border=True):
            _one_running(engine, row, curves[curves["run"] == row["id"]])


def _one_running(engine: Engine, row: dict[Any, Any], curves: pd.DataFrame) -> None:
    left, right = st.columns([5, 1], vertical_alignment="center")
    run_id = int(row["id"])
    with left:
        about = f"{shown.detailed(row)}, seed {row['seed']}, attempt {row['attempt']}"
        st.html(f"<div>{link(run_id, f'Run {run_id}')} · {html.escape(about)}</div>")
        _progress(row)
    if row["cancel_requested"]:
        right.caption("Stopping …")
    elif right.button("Cancel", key=f"cancel-{run_id}", **beyond("runner", help=f"Stop run {run_id}")):  # fmt: skip
        writes.request_cancel(engine, [run_id])
        st.rerun()
    if len(curves):
        chart = loss_chart(_named(curves), ticks=3).properties(height=150)
        st.altair_chart(quickly(chart), key=f"curve-{run_id}", alt=f"Curve of run {run_id}")


def _progress(row: dict[Any, Any]) -> None:
    step, steps = row["step"], row["steps_total"]
    if shown.missing(step) or shown.missing(steps) or not steps:
        st.caption("Starting …")
        return
    elapsed = shown.since(row["started_at"])
    rest = None if elapsed is None or not step else elapsed * (steps - step) / step
    said = f"step {int(step)} of {int(steps)}"
    said += f", about {shown.seconds(rest)} left" if rest is not None else ""
    said += f" · {row['message']}" if row["message"] else ""
    st.progress(min(1.0, step / steps), text=said)


def _named(curves: pd.DataFrame) -> pd.DataFrame:
    """With the split in the name of every curve but the training loss."""
    split = (", " + curves["split"].str.replace("_", " ")).where(curves["split"] != "train", "")
    return curves.assign(metric=curves["metric"] + split)


COLUMNS: dict[str, Any] = {
    "id": st.column_config.NumberColumn("Run", format="%d"),
    "what": "What",
    "seed": st.column_config.NumberColumn("Seed", format="%d"),
    "parent": st.column_config.NumberColumn("Model", format="%d", help="the run it starts from"),
    "priority": st.column_config.NumberColumn("Priority", format="%d"),
    "memory_need": st.column_config.NumberColumn(
        "Memory", format="bytes", help="what it is expected to need"
    ),
    "expected": st.column_config.TextColumn("Expected", help="how long it is expected to take"),
    "attempt": st.column_config.NumberColumn("Attempt", format="%d"),
    "error": st.column_config.TextColumn("Reason", width="large"),
    "blocked_by": st.column_config.NumberColumn("Blocked by run", format="%d"),
    "finished_at": st.column_config.DatetimeColumn("Ended"),
    "state": "State",
}


def choose(rows: pd.DataFrame, columns: list[str], key: str, label: str) -> list[int]:
    """A table, and below it the runs that somebody names; they stay chosen while the table moves on."""
    named = dict(zip(map(int, rows["id"]), shown.all_detailed(rows), strict=True))
    table = rows.assign(what=list(named.values()))[columns]
    st.dataframe(
        table,
        hide_index=True,
        column_config=COLUMNS,
        width="stretch",
        height=min(320, 40 + 35 * len(rows)),
        placeholder=shown.DASH,
    )
    chosen = st.multiselect(
        label,
        list(named),
        format_func=lambda run_id: f"{run_id} {named.get(run_id, '')}",
        key=key,
        placeholder="All of them, or choose some",
    )
    return [run_id for run_id in chosen if run_id in named] or list(named)


def waiting(engine: Engine) -> None:
    """What comes next, in order; all or the chosen ones can be moved or cancelled."""
    rows = reads.runs_in(engine, ("waiting",), blocked=False)
    st.subheader("Waiting")
    if rows.empty:
        st.caption("Nothing waits.")
        return
    rows = rows.assign(expected=rows["expected_seconds"].map(shown.seconds))
    columns = ["id", "what", "seed", "parent", "priority", "memory_need", "expected", "attempt"]
    counts = reads.counts(engine)
    all_of_them = counts["waiting"] - counts["blocked"]
    first = f"The first {len(rows)} of {all_of_them}, i" if all_of_them > len(rows) else "I"
    st.caption(f"{first}n the order in which they are begun.")
    chosen = choose(rows, columns, "waiting", "Runs to move or cancel")
    with st.container(horizontal=True):
        for label, priority in (("Go first", 10), ("Go last", -10)):
            if st.button(label, **beyond("runner")):
                writes.set_priority(engine, chosen, priority)
                st.rerun()
        with st.popover(f"Cancel {len(chosen)} waiting", **beyond("runner")):
            st.markdown("What is built on them waits until they are retried. Nothing is deleted.")
            if st.button(
                f"Yes, cancel {len(chosen)}",
                key="cancel-waiting",
                type="primary",
                **beyond("runner"),
            ):
                writes.request_cancel(engine, chosen)
                st.rerun()


def failed(engine: Engine) -> None:
    """What went wrong, in one line each, with the traceback for who wants it."""
    rows = reads.runs_in(engine, ("failed", "cancelled"))
    if rows.empty:
        return
    st.subheader("Failed and cancelled")
    columns = ["id", "what", "seed", "state", "error", "attempt", "finished_at"]
    rows = rows.assign(state=rows["state"].map(shown.SIGNS))
    chosen = choose(rows, columns, "failed", "Runs to retry")
    with st.container(horizontal=True):
        if st.button(f"Retry {len(chosen)}", **beyond("runner", help="They go on from the last state that was kept.")):  # fmt: skip
            writes.retry(engine, chosen)
            st.rerun()
        if st.button(f"Retry {len(chosen)} from the start", **beyond("runner")):
            writes.retry(engine, chosen, fresh=True)
            st.rerun()
    for run_id in chosen[:5]:
        _traceback(engine, run_id)


def _traceback(engine: Engine, run_id: int) -> None:
    run = reads.run(engine, run_id)
    if run is None or run["state"] != "failed":
        return
    with st.expander(f"Run {run_id}: {shown.named(run)}, seed {run['seed']}"):
        st.html(f"<div>{link(run_id, f'Run {run_id}')}</div>")
        st.text(run["error"] or "No reason was given.")
        if run["traceback"]:
            st.code(run["traceback"], language=None)


def blocked(engine: Engine) -> None:
    """What cannot begin, and what stands in its way."""
    rows = reads.runs_in(engine, ("waiting",), limit=2000, blocked=True)
    if rows.empty:
        return
    st.subheader("Blocked")
    causes = sorted({int(run) for run in rows["blocked_by"]})
    named = ", ".join(link(run, f"run {run}") for run in causes)
    st.html(f"<div>They wait for a retry of {named}.</div>")
    columns = ["id", "what", "seed", "parent", "blocked_by"]
    table = rows.assign(what=shown.all_detailed(rows))[columns]
    st.dataframe(
        table, hide_index=True, column_config=COLUMNS, width="stretch", placeholder=shown.DASH
    )


def happened(engine: Engine) -> None:
    """The newest events."""
    with st.expander("What happened lately"):
        found = reads.events(engine, limit=100)
        st.dataframe(
            found[["created_at", "kind", "run_id", "text"]],
            hide_index=True,
            width="stretch",
            placeholder=shown.DASH,
            column_config={
                "created_at": st.column_config.DatetimeColumn("When"),
                "kind": "What",
                "run_id": st.column_config.NumberColumn("Run", format="%d"),
                "text": "More",
            },
        )
