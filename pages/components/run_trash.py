"""The trash: what is in it, the way back, and emptying it for good."""

import streamlit as st
from sqlalchemy import Engine

from backend.deleting import remove_rest
from db import reads, writes
from db.session import DatabaseProblem
from pages.components import shown
from pages.components.queue_view import choose
from pages.components.run_actions import UNDO
from pages.components.signing_in import beyond

COLUMNS = ["id", "what", "seed", "state", "error"]


def trash_view(engine: Engine) -> None:
    """Studies and runs in the trash, each with its way back; and how a whole study gets there."""
    held = reads.trash(engine)
    st.caption(
        "What is here shows nowhere else, is not worked on, and counts in no frontier. A study that is submitted again"
        " takes back what it needs."
    )
    if not held.runs and held.studies.empty:
        st.info("The trash is empty.")
    _studies(engine, held)
    _runs(engine)
    _empty(engine, held)
    _whole_study(engine)
    st.caption(f"Files of all runs on disk: {shown.size(reads.disk_used(engine))}.")


def _studies(engine: Engine, held: reads.Trash) -> None:
    for row in held.studies.to_dict("records"):
        left, right = st.columns([5, 1], vertical_alignment="center")
        count, name = int(row["runs"]), str(row["name"])
        left.markdown(f"Study **{shown.plain(name)}**, {count:,} runs, since {shown.moment(row['trashed_at'])}")  # fmt: skip
        if right.button("Restore", key=f"restore {name}", **beyond("runner", help=f"Restore the study {name}")):  # fmt: skip
            writes.restore_study(engine, name)
            st.rerun()


def _runs(engine: Engine) -> None:
    rows = reads.trashed_runs(engine)
    if rows.empty:
        return
    st.subheader("Single runs")
    rows = rows.assign(state=rows["state"].map(shown.SIGNS))
    chosen = choose(rows, COLUMNS, "trashed", "Runs to restore")
    if st.button(f"Restore {len(chosen)}", **beyond("runner")):
        writes.restore_runs(engine, chosen)
        st.rerun()


def _empty(engine: Engine, held: reads.Trash) -> None:
    if not held.runs and held.studies.empty:
        return
    with st.popover("Empty the trash", **beyond("admin")):
        st.markdown(
            f"This removes {held.runs:,} runs and {held.measurements:,} measurements from the database, and"
            f" {shown.size(held.bytes)} of files from the disk. It cannot be undone."
        )
        if st.button("Remove them for good", type="primary", key="empty_trash", **beyond("admin")):  # fmt: skip
            try:
                deleted = writes.empty_trash(engine)
            except DatabaseProblem as problem:  # something in it is running
                st.error(str(problem))
                return
            remove_rest(deleted)
            st.session_state.pop(UNDO, None)
            st.rerun()


def _whole_study(engine: Engine) -> None:
    names = list(reads.studies(engine)["name"])
    if not names:
        return
    st.subheader("Delete a whole study")
    st.caption("All its revisions go, with the runs that no other study has.")
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    name = left.selectbox("Study to delete", names, index=None, key="trash_study")
    if right.button("Move to the trash", key="trash_study_now", **beyond("runner", disabled=name is None)):  # fmt: skip
        try:
            count = writes.trash_study(engine, str(name))
        except DatabaseProblem as problem:
            st.error(str(problem))
            return
        st.session_state[UNDO] = {"study": name, "told": f"The study {shown.plain(str(name))} is in the trash, with {count:,} runs."}  # fmt: skip
        st.rerun()
