"""One report: what it holds, what it rests on, what was decided; an open one can be changed here."""

from typing import Any

import streamlit as st
from sqlalchemy import Engine

from backend.reports import html, review, words
from db import reads as database
from db import writes
from pages.components import report_drawing, shown
from pages.components.report_decision import decision, decisions, trail
from pages.components.report_doing import ask_reader, at, do, reader, say
from pages.components.report_downloads import report_downloads
from pages.components.report_editing import add, block_tools, bring_back
from pages.components.report_proof import hash_line, proof, since
from pages.components.signing_in import beyond

Report = dict[str, Any]
RENAMED = "another title"


def report_page(engine: Engine, found: Report) -> None:
    """Head, blocks, decision, evidence."""
    told, events = review.payload(found), database.report_events(engine, found["id"])
    report_drawing.style()
    st.html('<a href="Reports" target="_self">← All reports</a>')
    st.title(shown.plain(told["title"]), anchor=False)
    st.markdown("**What did we decide, and on what evidence?**")
    decided = decisions(events)
    head(found, decided[-1]["kind"] if decided else None)
    say()
    frozen = found["frozen_at"] is not None
    if frozen:
        hash_line(found, events)
        since(engine, told)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        actions(engine, found)
    report_downloads(found, told, events)
    for position, block in enumerate(told["blocks"]):
        with st.container(border=True):
            one_block(engine, block, found, position)
    if not frozen:
        bring_back(engine, found)
        add(engine, found)
        freezing(engine, found)
    decision(engine, found, decided)
    if frozen:
        proof(told)
    trail(events)


def head(found: Report, decided: str | None) -> None:
    """Whether it is open or frozen, and what was decided last."""
    chips = [html.chip(decided, words.decided(decided))] if decided else []
    if found["frozen_at"] is None:
        told = f"Open · changed {at(found['updated_at'])}"
    else:
        told = f"Frozen {at(found['frozen_at'])}"
    told += " · put away" if found["archived_at"] is not None else ""
    st.html(f'<div class="rep">{"".join(chips)} <span class="quiet">{told}</span></div>')


def actions(engine: Engine, found: Report) -> None:
    """Present, copy, rename, put away."""
    st.button("Present", icon=":material/slideshow:", type="primary", on_click=_present)
    st.button(
        "Copy", icon=":material/content_copy:", on_click=_copy, args=(engine, found["id"]),
        **beyond("runner", help="A new open report with the same blocks and their data"),
    )  # fmt: skip
    away = found["archived_at"] is not None
    st.button(
        "Back on the list" if away else "Put away", icon=":material/archive:",
        on_click=lambda: do(writes.archive_report, engine, found["id"], not away, reader(), said="Back on the list." if away else "Put away; nothing of it is lost."), **beyond("runner"),
    )  # fmt: skip
    if found["frozen_at"] is None:
        with st.popover("Rename", icon=":material/edit:", **beyond("runner")):
            st.text_input("Title of the report", found["title"], key=RENAMED, max_chars=200)
            st.button(
                "Save the title", on_click=_rename, args=(engine, found["id"]), **beyond("runner")
            )


def _rename(engine: Engine, report_id: int) -> None:
    do(writes.rename_report, engine, report_id, st.session_state[RENAMED], reader())


def _present() -> None:
    st.query_params["present"] = "yes"
    st.query_params["slide"] = "1"


def _copy(engine: Engine, report_id: int) -> None:
    made = do(review.copy, engine, report_id, reader(), said="This is the copy; it is open.")
    if made is not None:
        st.query_params["report"] = str(made)


def one_block(engine: Engine, block: Report, found: Report, position: int) -> None:
    """A block with its title; in an open report with what can be done to it."""
    title = shown.plain(block["title"])
    editing = False
    if found["frozen_at"] is not None:
        st.subheader(title, anchor=False)
    else:
        editing = block_tools(engine, found["blocks"][position], position, len(found["blocks"]))
    if not editing:
        key = f"block {found['id']} {position} {found['sha256'] or block.get('id')}"
        report_drawing.inside(block["kind"], block["content"], key, live=True)


def freezing(engine: Engine, found: Report) -> None:
    """The step after which nothing can change any more."""
    st.subheader("Freeze", anchor=False)
    st.markdown(
        "Freezing pins every block with its data, the runs with their fingerprints, part versions, setting, seeds, attack"
        " grid, budgets, definitions and software under one SHA-256. Later runs cannot change it, and neither can anybody"
        " here; a copy can be changed. A decision needs a frozen report."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        ask_reader()
        st.button(
            "Freeze this report", icon=":material/lock:", **beyond("reviewer", disabled=not found["blocks"]),
            on_click=lambda: do(review.freeze, engine, found["id"], reader(), said="Frozen. It can be decided on now."),
        )  # fmt: skip
