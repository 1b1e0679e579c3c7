"""What people say about a run: its tags, and its note with all its versions."""

import html
from typing import Any
from urllib.parse import quote

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from db import reads, writes
from db.session import DatabaseProblem
from pages.components import shown
from pages.components.shown import quoted
from pages.components.signing_in import beyond


def standing(engine: Engine, run: dict[str, Any]) -> None:
    """Whether the run is hidden or deleted, with the way back."""
    run_id = int(run["id"])
    if run["trashed_at"] is not None:
        st.warning("This run is in the trash: it counts nowhere, and goes when the trash is emptied.")  # fmt: skip
        st.button("Restore it", key="run_restore", on_click=_restore, args=(engine, run_id), **beyond("runner"))  # fmt: skip
    elif run["archived_at"] is not None:
        st.caption("Archived: it counts as before, but the list of runs hides it.")
        st.button("Take it out of the archive", key="run_unarchive", on_click=_show, args=(engine, run_id), **beyond("runner"))  # fmt: skip


def _restore(engine: Engine, run_id: int) -> None:
    writes.restore_runs(engine, [run_id])


def _show(engine: Engine, run_id: int) -> None:
    writes.set_archived(engine, [run_id], False)


def tags_line(engine: Engine, run_id: int) -> None:
    """The run's tags, each a link to all runs that have it, and the field to change them."""
    mine = reads.tags_of(engine, run_id)
    known = list(reads.tags(engine)["tag"])
    with st.container(horizontal=True, vertical_alignment="center"):
        if mine:
            st.html("Tags: " + " · ".join(_tag_link(tag) for tag in mine))
        with st.popover("Tags", **beyond("runner")):
            chosen = st.multiselect("Tags of this run", known, mine, accept_new_options=True, key=f"tags {run_id} {mine}", placeholder="Choose or write")  # fmt: skip
            if st.button("Save", key="tags_save", type="primary", **beyond("runner", disabled=set(chosen) == set(mine))):  # fmt: skip
                _set_tags(engine, run_id, mine, chosen)


def _tag_link(tag: str) -> str:
    return f'<a href="Runs?filter={quote("tag:" + quoted(tag))}" target="_self">{html.escape(tag)}</a>'  # fmt: skip


def _set_tags(engine: Engine, run_id: int, before: list[str], after: list[str]) -> None:
    try:
        for tag in after:
            writes.add_tag(engine, [run_id], tag)
    except DatabaseProblem as problem:
        st.error(str(problem))
        return
    for tag in set(before) - set(after):
        writes.remove_tag(engine, [run_id], tag)
    st.rerun()


def note_tab(engine: Engine, run_id: int) -> None:
    """The note, which is also the field to write its next version, and all versions before."""
    versions = reads.notes(engine, run_id)
    latest = int(versions["version"].iloc[0]) if len(versions) else 0
    text_key, base_key = f"note_text {run_id}", f"note_base {run_id}"
    if text_key not in st.session_state:
        _begin(run_id, versions)
    base = int(st.session_state[base_key])
    problem = st.session_state.pop("note_problem", "")
    if problem:
        st.error(problem)
    if base < latest:
        _newer(run_id, versions, base)
    text = st.text_area("Note", key=text_key, height=160, placeholder="Plain text. Every save is a version; none is lost.")  # fmt: skip
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    author = left.text_input("Your name (may stay empty)", st.session_state.get("author", ""), key="note_author")  # fmt: skip
    same = text == (versions["text"].iloc[0] if latest else "")
    right.button("Save the note", type="primary", key="note_save", on_click=_save, args=(engine, run_id, text, author, base), **beyond("runner", disabled=same))  # fmt: skip
    _history(engine, run_id, versions, author)


def _begin(run_id: int, versions: pd.DataFrame) -> None:
    """Write on the newest version."""
    there = len(versions) > 0
    st.session_state[f"note_base {run_id}"] = int(versions["version"].iloc[0]) if there else 0
    st.session_state[f"note_text {run_id}"] = str(versions["text"].iloc[0]) if there else ""


def _newer(run_id: int, versions: pd.DataFrame, base: int) -> None:
    """Somebody saved meanwhile: their text above, the reader's own still in the field."""
    row = versions.iloc[0]
    latest = int(row["version"])
    by = f" by {shown.plain(row['author'])}" if row["author"] else ""
    st.warning(f"Version {latest} was saved{by} while you wrote on version {base}. Yours is in the field below; neither is lost.")  # fmt: skip
    st.text(row["text"] or "(empty)")
    take, keep = st.columns(2)
    take.button("Go on from theirs", key="note_take", on_click=_begin, args=(run_id, versions))
    keep.button("Keep mine as the next version", key="note_keep", on_click=_keep, args=(run_id, latest))  # fmt: skip


def _keep(run_id: int, latest: int) -> None:
    st.session_state[f"note_base {run_id}"] = latest


def _save(engine: Engine, run_id: int, text: str, author: str, base: int) -> None:
    try:
        version = writes.save_note(engine, run_id, text, author, base)
    except DatabaseProblem as problem:
        st.session_state["note_problem"] = str(problem)
        return
    st.session_state["author"] = author.strip()
    st.session_state[f"note_base {run_id}"] = version
    st.session_state[f"note_text {run_id}"] = text


def _history(engine: Engine, run_id: int, versions: pd.DataFrame, author: str) -> None:
    """Every version; an older one can be saved again as the newest."""
    if len(versions) < 2:
        return
    latest = int(versions["version"].iloc[0])
    with st.expander(f"All {len(versions)} versions"):
        for row in versions.to_dict("records"):
            by = f", {row['author']}" if row["author"] else ""
            st.caption(shown.plain(f"Version {row['version']}, {shown.moment(row['created_at'])}{by}"))  # fmt: skip
            st.text(row["text"] or "(empty)")
            if row["version"] != latest:
                st.button("Restore as the next version", key=f"note_restore {row['version']}", on_click=_save, args=(engine, run_id, str(row["text"]), author, latest), **beyond("runner"))  # fmt: skip
