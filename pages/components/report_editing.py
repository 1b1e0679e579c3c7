"""Changing an open report: the tools of a block, new blocks, removed ones."""

from typing import Any

import streamlit as st
from sqlalchemy import Engine

from backend.reports import review, words
from backend.stage import UserError
from db import writes
from pages.components import reads, shown
from pages.components.report_doing import at, do, reader
from pages.components.report_gates import asked_anew, gates_form, new_gates
from pages.components.signing_in import beyond

Block = dict[str, Any]
EDITED = "edited block"  # in the session: id and the version that the reader saw
PLACEHOLDER = (
    "**Bold**, *italic*, lists, tables, [links](https://example.org). HTML is shown as text."
)


def block_tools(engine: Engine, block: Block, position: int, count: int) -> bool:
    """A block's title and what can be done to it; whether it is being edited, so that its form stands instead of it."""
    title, tools = st.columns([3, 2], vertical_alignment="center")
    title.subheader(shown.plain(block["title"]), anchor=False)
    with tools.container(horizontal=True, horizontal_alignment="right", gap="small"):
        _tool("Up", "arrow_upward", block, position == 0, lambda: do(writes.move_block, engine, block["id"], -1, reader()))  # fmt: skip
        _tool("Down", "arrow_downward", block, position == count - 1, lambda: do(writes.move_block, engine, block["id"], 1, reader()))  # fmt: skip
        _tool("Edit", "edit", block, False, lambda: _edit_now(block))
        _tool("Remove", "delete", block, False, lambda: do(writes.remove_block, engine, block["id"], True, reader(), said="Removed; it can be brought back below."))  # fmt: skip
    _age(engine, block)
    edited, seen = st.session_state.get(EDITED, (None, None))
    if edited != block["id"]:
        return False
    _form(engine, block, seen)
    return True


def _tool(label: str, icon: str, block: Block, disabled: bool, action: Any) -> None:
    st.button(
        label, icon=f":material/{icon}:", key=f"{label} {block['id']}", type="tertiary",
        on_click=action, **beyond("runner", disabled=disabled, help=f"{label}: {shown.plain(block['title'])}"),
    )  # fmt: skip


def _edit_now(block: Block) -> None:
    st.session_state.pop(f"form {block['id']} gates", None)
    st.session_state[EDITED] = (block["id"], block["updated_at"])


def _age(engine: Engine, block: Block) -> None:
    """Where the data are from, and whether the study has gone on since."""
    content = block["content"]
    told = words.source(content)
    if not told:
        return
    newer = review.finished_since(engine, content["study"], block["created_at"])
    count = f"; {newer} run{'s' if newer != 1 else ''} finished since" if newer else ""
    st.caption(shown.plain(f"{told}; data of {at(block['created_at'])}{count}."))
    if newer and content.get("made_by"):
        st.button(
            "Take the data anew", key=f"anew {block['id']}", icon=":material/refresh:",
            on_click=lambda: do(review.take_anew, engine, block, reader(), said="The block shows the study as it is now."), **beyond("runner"),
        )  # fmt: skip


def _form(engine: Engine, block: Block, seen: Any) -> None:
    key, content = f"form {block['id']}", block["content"]
    st.text_input("Title of the block", block["title"], key=f"{key} title", max_chars=200)
    field = "text" if block["kind"] == "text" else "caption"
    label, height = ("Text", 320) if field == "text" else ("Words below it", 90)
    st.text_area(label, content.get(field, ""), key=f"{key} {field}", height=height, help=PLACEHOLDER if field == "text" else None)  # fmt: skip
    if block["kind"] == "gates":
        gates_form(block, key)
    with st.container(horizontal=True):
        st.button("Save", type="primary", key=f"{key} save", on_click=_save, args=(engine, block, field, seen), **beyond("runner"))  # fmt: skip
        st.button("Cancel", key=f"{key} cancel", on_click=lambda: st.session_state.pop(EDITED, None))  # fmt: skip


def _save(engine: Engine, block: Block, field: str, seen: Any) -> None:
    # What was typed just before the click is in the session, not yet in what the last run knew.
    key = f"form {block['id']}"
    title, told = st.session_state[f"{key} title"], st.session_state[f"{key} {field}"]
    if do(_edit, engine, block, title, {field: told}, seen, key):
        st.session_state.pop(EDITED, None)


def _edit(engine: Engine, block: Block, title: str, told: Block, seen: Any, key: str) -> bool:
    content, new_data = {**block["content"], **told}, False
    if block["kind"] == "gates":
        asked = asked_anew(block, key)
        new_data = asked["rows"] != block["content"].get("rows")
        content |= asked
    writes.edit_block(engine, block["id"], title, content, seen, reader(), new_data)
    return True


def bring_back(engine: Engine, found: Block) -> None:
    """Blocks that were removed."""
    if not found["removed"]:
        return
    with st.expander(f"Removed blocks ({len(found['removed'])})"):
        for block in found["removed"]:
            st.button(
                f"Bring back: {shown.plain(block['title'])}", key=f"back {block['id']}", icon=":material/undo:",
                on_click=lambda one=block: do(writes.remove_block, engine, one["id"], False, reader()), **beyond("runner"),
            )  # fmt: skip


def add(engine: Engine, found: Block) -> None:
    """New blocks: words written here, gates of a study, and how everything else comes in."""
    with st.expander("Add a block", icon=":material/add:", expanded=not found["blocks"]):
        st.caption(
            "Charts, tables and answers come from the pages that show them: press *Add to report* there."
        )
        words_tab, gates_tab = st.tabs(["Words", "Gates"])
        with words_tab:
            _add_words(engine, found["id"])
        with gates_tab:
            _add_gates(engine, found["id"])


def _add_words(engine: Engine, report_id: int) -> None:
    st.text_input("Title", key="new words title", max_chars=200)
    st.text_area("Text", key="new words", height=180, placeholder=PLACEHOLDER)
    st.button("Add the words", on_click=_words_added, args=(engine, report_id), **beyond("runner"))


def _words_added(engine: Engine, report_id: int) -> None:
    title, text = st.session_state["new words title"], st.session_state["new words"]
    made = do(writes.add_block, engine, report_id, "text", title, {"text": text}, reader(), said="Added.")  # fmt: skip
    if made is not None:  # a mistake leaves the words where they are
        st.session_state.update({"new words title": "", "new words": ""})


def _add_gates(engine: Engine, report_id: int) -> None:
    studies = list(reads.studies()["name"])
    if not studies:
        st.info("There is no study to ask.")
        return
    st.selectbox("Study", studies, key="gates of")
    st.button("Add gates", on_click=lambda: do(_new_gates, engine, report_id, said="Added; press Edit there to change what it asks."), **beyond("runner"))  # fmt: skip


def _new_gates(engine: Engine, report_id: int) -> None:
    study = st.session_state["gates of"]
    content = new_gates(study)
    if not content["rows"]:
        raise UserError(f"The study {study} has no finished run to ask.")
    writes.add_block(engine, report_id, "gates", f"Does {study} pass?"[:200], content, reader())
