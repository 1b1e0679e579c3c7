"""Put what is on a page into a report."""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import streamlit as st
from sqlalchemy import Engine

from backend.reports import blocks
from backend.stage import UserError
from db import reads as database
from db import writes
from db.session import DatabaseProblem, require_database
from pages.components.report_doing import LAST, reader
from pages.components.signing_in import beyond

NEW = "A new report"


def add_to_report(
    kind: str, title: str, content: Callable[[], Mapping[str, Any]], key: str
) -> None:
    """A button that puts a block into a report that the reader chooses; `content` is made on the click.

    The content of a block of each kind (all values JSON, all data in it, nothing that has to be looked up again):
    `text` {"text"}; `chart` {"spec": Vega-Lite with its data, "data": records, "caption"};
    `table` {"columns", "rows", "caption"}; `case` {"prompt", "settings", "answers": [{"model", "run", "text", "leaks"}]},
    leaks being (start, end) pairs or the leaked words; `gates` {"gates", "rows"}. Any kind may add "study", "revision",
    "runs" (ids), "data" (records) and "address" (where it came from). `chart_content` makes a chart's. The report chosen
    last is offered first.
    """
    with st.popover("Add to report", icon=":material/note_add:", **beyond("runner")):
        engine = require_database()
        names = open_reports(engine)
        options = [*names, NEW]
        last = st.session_state.get(LAST)
        chosen = st.selectbox(
            "Report",
            options,
            index=options.index(last) if last in names else 0,
            format_func=lambda one: names.get(one, NEW),
            key=f"{key}-report {last}",  # another page's choice is another widget
        )
        st.text_input("Title of the block", title, key=f"{key}-title", max_chars=200)
        if chosen == NEW:
            st.text_input("Title of the report", "Review", key=f"{key}-new", max_chars=200)
        given = (engine, kind, content, key, f"{key}-report {last}")
        st.button(
            "Add", key=f"{key}-add", type="primary", on_click=_add, args=given, **beyond("runner")
        )
        _say(key)


def chart_content(chart: Any, data: Any, caption: str, **about: Any) -> dict[str, Any]:
    """The content of a chart's block: its specification with the data inside, the frame that it was drawn from, a caption.

    `about` is what any block may add: study, revision, runs, address.
    """
    return blocks.chart_content(chart, data, caption, **about)


def open_reports(engine: Engine) -> dict[Any, str]:
    """The titles of the reports that take blocks, by id, last changed first; a number tells equal titles apart."""
    found = database.reports(engine)
    is_open = found[found["frozen_at"].isna() & found["archived_at"].isna()]
    titles = is_open["title"].tolist()
    return {
        int(one): f"{title} (report {one})" if titles.count(title) > 1 else title
        for one, title in zip(is_open["id"], titles, strict=True)
    }


def _add(
    engine: Engine, kind: str, content: Callable[[], Mapping[str, Any]], key: str, report: str
) -> None:
    """One click's work: the block, its report where that is new, and what is said about it."""
    # What was typed just before the click is in the session, not yet in what the last run knew.
    chosen, named = st.session_state[report], st.session_state[f"{key}-title"]
    given, told = st.session_state.get(f"{key}-new", "Review"), f"{key} said"
    try:
        made = blocks.checked(kind, content())
        if chosen == NEW:
            block = {"kind": kind, "title": named, "content": made}
            report_id = writes.create_report(engine, given, reader(), [block])
        elif _is_there(engine, int(chosen), kind, named, made):
            st.session_state[told] = (int(chosen), "This is in the report already")
            return
        else:
            report_id = int(chosen)
            writes.add_block(engine, report_id, kind, named, made, reader())
    except (DatabaseProblem, UserError) as problem:
        st.session_state[told] = (None, str(problem))
        return
    st.session_state[LAST] = report_id
    st.session_state[told] = (report_id, "Added")


def _is_there(engine: Engine, report_id: int, kind: str, title: str, content: Any) -> bool:
    """Whether the report ends with this very block, from a second click."""
    found = database.report(engine, report_id)
    last = found["blocks"][-1:] if found else []
    return any((b["kind"], b["title"], b["content"]) == (kind, title.strip(), content) for b in last)  # fmt: skip


def _say(key: str) -> None:
    """What came of the last click, with the way to the report."""
    report_id, told = st.session_state.pop(f"{key} said", (None, ""))
    if told and report_id is None:
        st.error(told)
    elif told:
        st.toast(f"{told}.")
        st.html(f'<div role="status">✓ {escape(told)}: <a href="Reports?report={report_id}" target="_self">open the report</a></div>')  # fmt: skip
