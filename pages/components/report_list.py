"""All reports, and how a new one begins."""

from html import escape

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from backend.reports import html, review, words
from db import reads as database
from db import writes
from pages.components import reads, report_drawing, selection
from pages.components.report_doing import LAST, ask_reader, at, do, reader, say
from pages.components.report_gates import document_of
from pages.components.signing_in import beyond

EMPTY = "An empty report"
REVIEW = "Review of a study"


def list_page(engine: Engine) -> None:
    """The reports, a form for a new one, and what was put away."""
    report_drawing.style()
    say()
    found = database.reports(engine)
    away = found["archived_at"].notna()
    here = found[~away]
    if here.empty:
        st.info(
            "No report yet. Begin with the review of a study below; every page puts its charts, tables and answers"
            " into a report with the button *Add to report*."
        )
    else:
        st.html(table(here))
    begin(engine)
    if away.any():
        with st.expander(f"Put away ({int(away.sum())})"):
            st.html(table(found[away]))


def table(found: pd.DataFrame) -> str:
    """Reports as rows with links; the state in words."""
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Report", "State", "Blocks", "Changed"))  # fmt: skip
    body = "".join(
        f'<tr><td class="name"><a href="Reports?report={int(row["id"])}" target="_self">{escape(row["title"])}</a></td>'
        f'<td>{state(row)}</td><td>{int(row["blocks"])}</td><td>{escape(at(_changed(row)))}</td></tr>'
        for _, row in found.iterrows()
    )  # fmt: skip
    return (
        f'<div class="rep"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _changed(row: pd.Series) -> pd.Timestamp:
    moments = [row[name] for name in ("updated_at", "frozen_at", "decided_at")]
    return max(one for one in moments if not pd.isna(one))


def state(row: pd.Series) -> str:
    """Open, frozen, or what was decided last."""
    if pd.isna(row["frozen_at"]):
        return "Open"
    decided = row["decision"]
    if decided is None or pd.isna(decided):
        return "Frozen, not decided"
    return html.chip(decided, words.decided(decided))


def begin(engine: Engine) -> None:
    """The form for a new report."""
    st.subheader("A new report")
    studies = list(reads.studies()["name"])
    ways = [REVIEW, EMPTY] if studies else [EMPTY]
    columns = st.columns(2)
    with columns[0]:
        way = st.segmented_control("Begin with", ways, default=ways[0], required=True)
    with columns[1]:
        ask_reader()
    study = st.selectbox("Study", studies, _first(studies)) if way == REVIEW else None
    key = f"title of a new report {study}"
    st.text_input("Title", f"Review of {study}" if study else "", key=key, max_chars=200)
    if way == REVIEW:
        st.caption(
            "Headline, frontier, all configurations, gates and what there is to decide, filled from the study as it is"
            " now; everything can be changed until the report is frozen."
        )
    else:
        st.caption("Blocks come from *Add to report* on the other pages, or are written here.")
    st.button(
        "Begin", type="primary", on_click=_begin, args=(engine, study, key), **beyond("runner")
    )


def _first(studies: list[str]) -> int:
    """The study that the address or the page before was about, else the newest."""
    told = st.query_params.get("study") or st.session_state.get("study")
    return studies.index(told) if told in studies else 0


def _begin(engine: Engine, study: str | None, key: str) -> None:
    # What was typed just before the click is in the session, not yet in what the last run knew.
    title = st.session_state[key]
    picked = st.session_state.get(selection.HELD, {}).get(study, []) if study else []
    if study:
        at = document_of(study)  # as the pages hold it
        made = do(review.begin_review, engine, study, title, reader(), picked, at)
    else:
        made = do(writes.create_report, engine, title, reader())
    if made is not None:
        st.query_params.clear()
        st.query_params["report"] = str(made)
        st.session_state[LAST] = made
