"""What pages read, cached for as long as it is true."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from backend import plugins, results
from backend.stage import UserError
from db import reads
from db.session import DatabaseProblem, open_database
from pages.components.study_about import study_line

HELD = "study of the page before"


def engine() -> Engine | None:
    """The database, None where nothing was submitted yet; stops the page with a sentence where it cannot be read."""
    try:
        return open_database(create=False)
    except DatabaseProblem as problem:
        st.error(str(problem))
        st.stop()


@st.cache_data(max_entries=40, show_spinner="Reading the study …")
def _document(
    place: str, name: str, budget: int | None, attacker_flops: float | None, version: str
) -> dict[str, Any]:
    found = engine()
    assert found is not None
    return results.frontier_document(found, name, budget, attacker_flops=attacker_flops)


def document(
    name: str, budget: int | None = None, attacker_flops: float | None = None
) -> dict[str, Any]:
    """The frontier document of a study, computed once for each state of the database."""
    found = engine()
    assert found is not None
    try:
        version = f"{reads.finished_version(found)}/{plugins.state()}"
        return _document(str(found.url), name, budget, attacker_flops, version)
    except UserError as mistake:
        st.error(str(mistake))
        st.stop()


@st.cache_data(max_entries=20, show_spinner=False)
def _curves(place: str, name: str, version: str) -> pd.DataFrame:
    found = engine()
    assert found is not None
    return results.curves(found, name)


def curves(name: str) -> pd.DataFrame:
    """The relearning curves of a study."""
    found = engine()
    assert found is not None
    return _curves(str(found.url), name, reads.finished_version(found))


@st.cache_data(max_entries=20, show_spinner=False)
def _places(place: str, name: str, metrics: tuple[str, ...], version: str) -> Any:
    found = engine()
    record = reads.study(found, name) if found else None
    if found is None or record is None:
        return None
    measured = reads.measurements(found, study_id=record.id, metrics=metrics, category=None)
    return record, reads.study_runs(found, record.id), measured


def measured_by_place(
    name: str, metrics: Sequence[str]
) -> tuple[reads.StudyRecord, pd.DataFrame, pd.DataFrame] | None:
    """A study's record, its runs, and some metrics with all their categories; None where there is no such study."""
    found = engine()
    if found is None:
        return None
    version = reads.finished_version(found)
    told: tuple[reads.StudyRecord, pd.DataFrame, pd.DataFrame] | None = _places(
        str(found.url), name, tuple(metrics), version
    )
    return told


# One object for all: nobody changes it, and a study of a thousand runs takes a tenth of a second to copy.
@st.cache_resource(max_entries=20, show_spinner=False)
def _planned(place: str, name: str, version: str) -> Any:
    found = engine()
    record = reads.study(found, name) if found else None
    return None if found is None or record is None else (record, reads.study_runs(found, record.id))


def planned(name: str) -> tuple[reads.StudyRecord, pd.DataFrame]:
    """A study's record and its runs, to be read only; the study is known to exist."""
    found = engine()
    assert found is not None
    told: tuple[reads.StudyRecord, pd.DataFrame] = _planned(
        str(found.url), name, reads.finished_version(found)
    )
    return told


@st.cache_data(max_entries=40, show_spinner=False)
def _trained(place: str, runs: tuple[int, ...], version: str) -> pd.DataFrame:
    found = engine()
    assert found is not None
    measured = reads.measurements(found, run_ids=runs)
    return measured[measured["value"].notna()]


def trained(runs: Sequence[int]) -> pd.DataFrame:
    """What runs measured while they trained (see `db.reads.measurements`)."""
    found = engine()
    assert found is not None
    return _trained(str(found.url), tuple(sorted(runs)), reads.finished_version(found))


def studies() -> pd.DataFrame:
    """The studies of the database, newest first; an empty frame where there are none."""
    found = engine()
    return pd.DataFrame({"name": []}) if found is None else reads.studies(found)


def choose_study(say: str) -> str:
    """The study that the address names or the reader chooses, with a line on what it asks and how far it is.

    An empty database shows what to do next.
    """
    known = studies()
    names = list(known["name"])
    if not names:
        nothing_yet(say)
    held = st.session_state.get(HELD)
    if held in names and "study" not in st.session_state and "study" not in st.query_params:
        st.session_state["study"] = held  # the study of the page before
    chosen = str(st.selectbox("Study", names, key="study", bind="query-params"))
    st.session_state[HELD] = chosen
    found = engine()
    assert found is not None
    study_line(found, known.iloc[names.index(chosen)])
    return chosen


def nothing_yet(say: str) -> None:
    """The empty state: one sentence and the next step; ends the page."""
    st.info(say)
    st.html('<a href="Launch?study=quick" target="_self">Launch the quick study</a>')
    st.caption("Or in a terminal: `make demo`, or `python -m backend demo`.")
    st.stop()


def waits(so: str = "") -> str:
    """What is said of a study of which no model is finished, and the next step; `so` is what follows from it."""
    return f"The study waits{so}. Start a worker on the Jobs page, or `python -m backend work`."


def study_waits(so: str = "") -> None:
    """The empty state of such a study; ends the page."""
    st.info(waits(so))
    st.stop()


def watch(current: Callable[[Engine], str], seconds: float = 2.0) -> None:
    """Rerun the page when the database has changed; looks less often while nothing runs or waits."""
    found = engine()
    if found is None:
        return
    counts = reads.counts(found)
    busy = counts.get("running", 0) + counts.get("waiting", 0) - counts.get("blocked", 0) > 0
    seen = current(found)

    @st.fragment(run_every=seconds if busy else 5 * seconds)
    def look() -> None:
        if current(found) != seen:
            st.rerun()

    look()


def theme() -> str:
    """`light` or `dark`, as the browser shows the page."""
    return "dark" if getattr(st.context.theme, "type", "light") == "dark" else "light"


def root() -> Path:
    """The project's folder."""
    return Path(__file__).resolve().parents[2]
