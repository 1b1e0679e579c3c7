"""What can be done with the runs that are ticked: open, compare, tag, archive, delete with undo."""

import html
from collections.abc import Callable, Sequence
from urllib.parse import quote, urlencode

import streamlit as st
from sqlalchemy import Engine

from backend.configuration_names import configurations_of
from db import reads, writes
from db.session import DatabaseProblem
from pages.components import selection
from pages.components.run_table import forget_ticks
from pages.components.signing_in import beyond

UNDO = "runs_undo"
NEW = "A new tag"
MOST_COMPARED = 20


def undo_bar(engine: Engine) -> None:
    """What was just moved to the trash, with the way back."""
    held = st.session_state.get(UNDO)
    if not held:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{held['told']}** What is there stays until the trash is emptied.")
        if st.button("Undo", type="primary", key="undo", **beyond("runner")):
            if "study" in held:
                writes.restore_study(engine, held["study"])
            else:
                writes.restore_runs(engine, held["runs"])
            st.session_state.pop(UNDO)
            st.rerun()
        if st.button("Dismiss", key="undo_dismiss"):
            st.session_state.pop(UNDO)
            st.rerun()


def actions(engine: Engine, ticked: Sequence[int], conditions: Sequence[reads.Condition], matching: int) -> None:  # fmt: skip
    """The bar above the list."""
    if not ticked:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        everything = len(ticked) < matching and st.toggle(f"All {matching:,} that match", key="runs_all")  # fmt: skip
        chosen = reads.matching_ids(engine, conditions) if everything else list(ticked)
        st.markdown(f"**{len(chosen):,} chosen**")
        _links(engine, chosen)
        _tagging(engine, chosen)
        _archiving(engine, chosen)
        _deleting(engine, chosen)


def _links(engine: Engine, chosen: list[int]) -> None:
    links = [("Open", f"Runs?run={chosen[0]}")] if len(chosen) == 1 else []
    study, names = compared(engine, chosen)
    if names:
        selection.select(study, names)
        told = urlencode({"study": study, "pick": names}, doseq=True, quote_via=quote)
        label = f"Compare {len(names)} configurations" if len(names) > 1 else "Compare"
        links += [(label, f"Compare?{told}"), ("Frontier", f"./?{told}")]
    texts = [f'<a href="{html.escape(to)}" target="_self">{label}</a>' for label, to in links]
    if texts:
        st.html(" · ".join(texts), width="content")


def compared(engine: Engine, run_ids: Sequence[int]) -> tuple[str, list[str]]:
    """The study that has most of the runs (its newest revision), and the configurations that they belong to there."""
    found = reads.studies_of(engine, run_ids)
    if not found:
        return "", []
    study = max(found, key=lambda name: len(found[name]))
    record = reads.study(engine, study)
    if record is None:
        return "", []
    prints = reads.model_fingerprints(engine, found[study])
    return study, configurations_of(record.document, prints.values())[:MOST_COMPARED]


def _tagging(engine: Engine, chosen: list[int]) -> None:
    known = list(reads.tags(engine)["tag"])
    with st.popover("Tag", **beyond("runner")):
        tag = st.selectbox("Tag", known, index=None, accept_new_options=True, key="runs_tag", placeholder="Choose one, or write a new one")  # fmt: skip
        add, remove = st.columns(2)
        if add.button("Add", type="primary", key="runs_tag_add", **beyond("runner", disabled=not tag)):  # fmt: skip
            _done(lambda: f"{writes.add_tag(engine, chosen, str(tag))} runs were tagged {tag}.")
        if remove.button("Remove", key="runs_tag_remove", **beyond("runner", disabled=tag not in known)):  # fmt: skip
            _done(lambda: f"The tag {tag} was taken off {writes.remove_tag(engine, chosen, str(tag))} runs.")  # fmt: skip


def _archiving(engine: Engine, chosen: list[int]) -> None:
    with st.popover("Archive", **beyond("runner")):
        st.caption("Hides them from this list; they count everywhere as before. The filter is:archived shows them.")  # fmt: skip
        hide, show = st.columns(2)
        if hide.button("Archive", type="primary", key="runs_archive", **beyond("runner")):
            _done(lambda: f"{writes.set_archived(engine, chosen, True)} runs were archived.")
        if show.button("Take out", key="runs_unarchive", **beyond("runner")):
            _done(lambda: f"{writes.set_archived(engine, chosen, False)} runs are in the list again.")  # fmt: skip


def _deleting(engine: Engine, chosen: list[int]) -> None:
    with st.popover("Delete", **beyond("runner")):
        plan = reads.removal_of(engine, chosen)
        if plan.refused:
            st.warning(plan.refused)
            return
        built = f", {plan.built_on} of them built on what is chosen" if plan.built_on else ""
        st.markdown(f"{len(plan.runs)} runs move to the trash{built}. This can be undone.")
        if st.button("Move to the trash", type="primary", key="runs_delete", **beyond("runner", disabled=not plan.runs)):  # fmt: skip
            try:
                gone = writes.trash_runs(engine, chosen)
            except DatabaseProblem as problem:
                st.error(str(problem))
                return
            st.session_state[UNDO] = {"runs": gone, "told": f"{len(gone)} runs are in the trash."}
            forget_ticks()
            st.rerun()


def _done(act: Callable[[], str]) -> None:
    try:
        st.toast(act())
    except DatabaseProblem as problem:
        st.error(str(problem))
    else:
        st.rerun()
