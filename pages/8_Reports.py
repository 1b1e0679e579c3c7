"""What did we decide, and on what evidence?"""

import app

app.guard()

import streamlit as st  # noqa: E402

from db import reads as database  # noqa: E402
from pages.components import reads  # noqa: E402
from pages.components.report_list import list_page  # noqa: E402
from pages.components.report_meeting import meeting  # noqa: E402
from pages.components.report_page import report_page  # noqa: E402

QUESTION = "**What did we decide, and on what evidence?**"


def wanted() -> int | None:
    """The report that the address names; -1 where it names something that is none."""
    given = st.query_params.get("report")
    if given is None:
        return None
    return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else -1


def page() -> None:
    """All reports, one report, or one report before a meeting."""
    report_id, engine = wanted(), reads.engine()
    found = database.report(engine, report_id) if engine is not None and report_id is not None else None  # fmt: skip
    if engine is not None and found is not None:
        (meeting if st.query_params.get("present") == "yes" else report_page)(engine, found)
        return
    st.title("Reports")
    st.markdown(f"{QUESTION} A frozen report shows for good what a decision rested on.")
    if report_id is not None:
        st.warning("There is no such report; choose one below, or begin a new one.")
    if engine is None:
        reads.nothing_yet("Nothing was submitted yet: there is nothing to report on.")
    else:
        list_page(engine)


page()
