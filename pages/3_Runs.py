"""What ran, and how did it go?"""

import app

app.guard()

import streamlit as st  # noqa: E402
from sqlalchemy import Engine  # noqa: E402

from db import reads as database  # noqa: E402
from pages.components import reads  # noqa: E402
from pages.components.cost_view import cost_by_stage  # noqa: E402
from pages.components.parallel_view import parallel_view  # noqa: E402
from pages.components.run_actions import actions, undo_bar  # noqa: E402
from pages.components.run_address import change, view_of  # noqa: E402
from pages.components.run_filter_field import filter_field, words  # noqa: E402
from pages.components.run_table import (  # noqa: E402
    columns_field,
    counted,
    page_of,
    pager,
    sensible,
    table,
)
from pages.components.run_trash import trash_view  # noqa: E402
from pages.components.run_view import run_view  # noqa: E402
from pages.components.saved_views import saved_views  # noqa: E402
from pages.components.shown import plain  # noqa: E402
from pages.components.synced import synced, taken  # noqa: E402

TABLE, PARALLEL, COST, TRASH = "Table", "Parallel coordinates", "Cost by stage", "Trash"
SHOWS = (TABLE, PARALLEL, COST, TRASH)


def show_field() -> str:
    """Which of the page's pictures to show; in the address."""
    given = st.query_params.get("show", TABLE)
    given = given if given in SHOWS else TABLE
    key = synced("runs_show", given)
    chosen = st.segmented_control(
        "Show",
        SHOWS,
        default=given,
        key=key,
        required=True,
        label_visibility="collapsed",
        on_change=taken(key, lambda shown: change(show=None if shown == TABLE else shown)),
    )
    return str(chosen)


def listed(engine: Engine) -> None:
    """The filtered list, a page at a time."""
    known = words(engine)
    view = sensible(view_of(st.query_params.to_dict()), known)
    conditions = filter_field(engine, view)
    found = page_of(engine, view, conditions)
    left, columns, views = st.columns([5, 1, 1], vertical_alignment="center")
    left.markdown(counted(found, view))
    with columns.popover("Columns", width="stretch"):
        columns_field(view, known)
    with views.popover("Views", width="stretch"):
        saved_views(engine, view)
    bar = st.container()
    # Between the bar and the table, whose own buttons would lie over the bar's.
    st.caption("Tick rows to open, compare, tag, archive or delete their runs. A click on a heading sorts the whole list.")  # fmt: skip
    ticked = table(found, view)
    with bar:
        actions(engine, ticked, conditions, found.matching)
    pager(engine, found, view, conditions)


def one_run(engine: Engine, wanted: str) -> None:
    """Everything about the run that the address names."""
    run = database.run(engine, int(wanted)) if wanted.isascii() and wanted.isdigit() else None
    st.html('<a href="Runs" target="_self">← All runs</a>')
    if run is None:
        st.warning(f"There is no run {plain(wanted)}; it may have been deleted.")
    else:
        run_view(engine, run)


def page() -> None:
    """One run where the address names one, else all of them."""
    st.title("Runs")
    st.markdown("**What ran, and how did it go?**")
    engine = reads.engine()
    wanted = st.query_params.get("run")
    if engine is None or not database.last_event(engine):
        reads.nothing_yet("No run yet. The quick study makes 70.")
    elif wanted:
        one_run(engine, wanted)
    else:
        shown = show_field()
        undo_bar(engine)
        if shown == TRASH:
            trash_view(engine)
            return
        reads.watch(database.finished_version)
        if shown == TABLE:
            listed(engine)
        elif shown == PARALLEL:
            parallel_view(engine)
        else:
            cost_by_stage(engine, reads.choose_study("No study yet, so no runs."))


page()
