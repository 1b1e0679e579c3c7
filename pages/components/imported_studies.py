"""The studies that others ran: what each reports, and how to be rid of it."""

import html
from typing import Any
from urllib.parse import quote

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from backend.charts.reported import first_axes, reported_chart
from backend.frontier import frame as frame_of
from backend.tables import column_of
from db import reads as database
from db import writes
from db.session import DatabaseProblem, require_database
from pages.components import reads
from pages.components.downloads import downloads
from pages.components.import_wizard import metrics_table, model_name, number_columns
from pages.components.reporting import add_to_report, chart_content
from pages.components.run_actions import UNDO, undo_bar
from pages.components.shown import DASH, moment, plain
from pages.components.signing_in import beyond

REFUSED = "why an import was not deleted"


def imported_names() -> list[str]:
    """The names of the imported studies, newest first."""
    studies = reads.studies()
    return list(studies[studies["origin"] == "imported"]["name"]) if len(studies) else []


def just_imported() -> None:
    """What the last click made, and where to look at it."""
    told = st.session_state.pop("just_imported", None)
    if told:
        name, revision, new = told
        st.success(plain(f"Imported as {name}, revision {revision}: {new} new models, not run here."))  # fmt: skip


def imported_studies(engine: Engine) -> None:
    """The list, one study opened."""
    names = imported_names()
    st.subheader("Imported studies")
    undo_bar(engine)
    if REFUSED in st.session_state:
        st.error(plain(st.session_state.pop(REFUSED)))
    if not names:
        st.caption("None yet. What you import stands here and on the Frontier page, marked as not run here.")  # fmt: skip
        return
    rows = [_about(engine, name) for name in names]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", column_config=COLUMNS)
    chosen = str(st.selectbox("Open", names, key="imported", bind="query-params"))
    _opened(engine, chosen)
    _delete(chosen)


COLUMNS: dict[str, Any] = {"Study": st.column_config.TextColumn("Study", width="medium")}


def _about(engine: Engine, name: str) -> dict[str, Any]:
    record = database.study(engine, name)
    assert record is not None
    about = record.document.get("imported", {})
    return {
        "Study": name,
        "Kind": about.get("kind"),
        "Origin": "imported, not run here",
        "Models": len(record.document["configurations"]),
        "Metrics": len(record.document["metrics"]),
        "Files": len(about.get("files", {})),
        "Imported": moment(record.created_at),
    }


def _opened(engine: Engine, name: str) -> None:
    record = database.study(engine, name)
    assert record is not None
    declared, about = record.document["metrics"], record.document.get("imported", {})
    table = _table(record.document, reads.document(name))
    link = f"./?study={quote(name, safe='')}"
    st.html(f'<a href="{html.escape(link)}" target="_self">Open on the Frontier page</a>')
    picture, numbers, meanings, source = st.tabs(["Picture", "Numbers", "Metrics", "Source"])
    with picture:
        _picture(name, declared, table)
    with numbers:
        shown = table.drop(columns="method").rename(columns={"model": "Model", "seeds": "Seeds"})
        st.dataframe(shown, hide_index=True, width="stretch", placeholder=DASH, column_config=number_columns(declared))  # fmt: skip
        st.caption("As reported, not run here; means where there are several seeds.")
    with meanings:
        st.dataframe(metrics_table(declared), hide_index=True, width="stretch", placeholder=DASH)
    with source:
        _source(about)


def _table(document: dict[str, Any], frontier: dict[str, Any]) -> pd.DataFrame:
    """One row a configuration: model, method, seeds, then every metric under its own name."""
    frame = frame_of(frontier)
    called = {c["label"]: model_name(c["label"], c["name"], c["method"]) for c in document["configurations"]}  # fmt: skip
    columns: dict[str, Any] = {
        "model": frame["configuration"].map(called),
        "method": frame["method"],
        "seeds": frame["seeds"],
    }
    names = [name for name in document["metrics"] if column_of(name) in frame]
    return pd.DataFrame(columns | {name: pd.to_numeric(frame[column_of(name)]) for name in names})


def _picture(name: str, declared: dict[str, Any], table: pd.DataFrame) -> None:
    """Two metrics that the reader chooses against each other."""
    names = [metric for metric in declared if metric in table]
    start = first_axes({metric: declared[metric] for metric in names})
    across, up = (
        column.selectbox(label, names, names.index(first), format_func=lambda m: declared[m]["label"], key=f"{label} {name}")
        for column, label, first in zip(st.columns(2), ("Across", "Up"), start, strict=True)
    )  # fmt: skip
    rows = table.dropna(subset=[across, up])
    if rows.empty:
        st.caption("No model has both numbers.")
        return
    chart = reported_chart(rows, across, up, declared, reads.theme())
    told = f"{declared[up]['label']} by {declared[across]['label']}: {len(rows)} models as reported, not run here."  # fmt: skip
    st.altair_chart(chart, alt=told)
    st.caption(plain(told))
    data = rows[list(dict.fromkeys(["model", "method", "seeds", across, up]))]
    downloads(chart, data, "reported", table=False)
    add_to_report("chart", f"{name}: as reported", lambda: chart_content(chart, data, told, study=name, address=f"Data?imported={quote(name)}"), key="reported")  # fmt: skip


def _source(about: dict[str, Any]) -> None:
    """The files that it came from, and how they were read."""
    for note in about.get("notes", []):
        st.text(note)
    files = [{"File": path, "SHA-256": digest} for path, digest in about.get("files", {}).items()]
    st.dataframe(pd.DataFrame(files), hide_index=True, width="stretch")
    if about.get("mapping"):
        st.caption("Which column is what")
        st.json(about["mapping"], expanded=False)


def _delete(name: str) -> None:
    with st.popover("Delete", icon=":material/delete:", **beyond("runner")):
        st.text(f"{name} goes to the trash of the page Runs, from where it can be restored until that is emptied. The files it came from stay.")  # fmt: skip
        st.button(
            "Delete it",
            key=f"delete {name}",
            on_click=_to_the_trash,
            args=(name,),
            **beyond("runner"),
        )


def _to_the_trash(name: str) -> None:
    """Before the page is drawn again: the field then shows another study, or none is left."""
    try:
        writes.trash_study(require_database(), name)
    except DatabaseProblem as problem:
        st.session_state[REFUSED] = str(problem)
        return
    st.session_state[UNDO] = {"study": name, "told": f"{plain(name)} is in the trash."}
    left = imported_names()
    if left:
        st.session_state["imported"] = left[0]
    else:
        st.session_state.pop("imported", None)
