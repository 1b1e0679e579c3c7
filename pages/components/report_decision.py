"""What was decided on a frozen report, by whom and why; and everything that was done to it."""

from typing import Any

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from backend.reports import html, words
from db import reads as database
from db import writes
from db.actor import present
from pages.components import shown
from pages.components.report_doing import READER, at, do, reader
from pages.components.signing_in import beyond

MEANING = {
    "approve": "may be used as described",
    "needs work": "something has to be run or shown first",
    "reject": "must not be used",
}


def decisions(events: pd.DataFrame) -> list[dict[str, Any]]:
    """The decisions of an audit trail, first one first."""
    found = events[events["kind"].isin(database.DECISIONS)]
    return [{str(k): v for k, v in row.items()} for row in found.to_dict("records")]


def decision(engine: Engine, found: dict[str, Any], decided: list[dict[str, Any]]) -> None:
    """What was decided so far, and the form for a decision; a later one does not take an earlier one away."""
    st.subheader("Decision", anchor=False)
    if found["frozen_at"] is None:
        st.info("A decision needs a frozen report, so that what was decided on cannot change.")
        return
    told(decided)
    with st.form(f"decide {found['id']}", clear_on_submit=False):
        verdict = st.radio("Decision", list(MEANING), index=None, horizontal=True, format_func=lambda one: f"{words.DECIDED_SIGNS[one]} {one.capitalize()}", captions=list(MEANING.values()))  # fmt: skip
        known = present().known
        hint = "As you are signed in." if known else "Lethe does not check who you are."
        name = st.text_input("Reviewer", reader(), max_chars=200, disabled=known, help=hint)
        reason = st.text_area("Reason", placeholder="Which number or attack decided?")
        if st.form_submit_button("Record the decision", type="primary", **beyond("reviewer")):
            _record(engine, found["id"], verdict or "", name, reason)


def _record(engine: Engine, report_id: int, verdict: str, name: str, reason: str) -> None:
    if not verdict:
        st.error("Choose approve, needs work or reject.")
    elif _said(engine, report_id, verdict, name, reason):
        st.toast("This decision is recorded already.")
    else:
        do(writes.decide, engine, report_id, verdict, name, reason, said="Recorded.")
        if name.strip() and not reader():
            st.session_state.setdefault(READER, name.strip())
        st.rerun()


def _said(engine: Engine, report_id: int, verdict: str, name: str, reason: str) -> bool:
    """Whether this is the last decision once more, from a second click."""
    last = decisions(database.report_events(engine, report_id))[-1:]
    same = (verdict, name.strip(), reason.strip())
    return any((one["kind"], one["author"], one["text"]) == same for one in last)


def told(decided: list[dict[str, Any]]) -> None:
    """The decisions, the last one first."""
    if not decided:
        st.caption("Not decided yet.")
    for position, one in enumerate(reversed(decided)):
        kind = one["kind"]
        chip = html.chip(kind, words.decided(kind))
        earlier = "earlier: " if position else ""
        st.html(f'<div class="rep">{earlier}{chip}</div>')
        st.markdown(f"**{shown.plain(one['author'])}**, {at(one['created_at'])}")
        st.text(one["text"])


def trail(events: pd.DataFrame) -> None:
    """Everything that was done to the report, in order; lines are only ever added."""
    with st.expander(f"Audit trail ({len(events)})"):
        rows = [[at(e["created_at"]), e["kind"], e["author"] or shown.DASH, e["text"]] for _, e in events.iterrows()]  # fmt: skip
        st.html(f'<div class="rep">{html.grid(["When", "What", "Who", ""], rows)}</div>')
