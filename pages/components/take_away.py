"""Everything as files: a study's bundle and JSON, and all tables of the database."""

import tempfile

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from backend.everything import study_bundle, study_json, write_database
from db import reads as database
from pages.components import reads
from pages.components.shown import whole

FORMATS = {"csv": "CSV, for spreadsheets", "jsonl": "JSON lines, exactly as stored"}
TABLES = {
    "study": "studies and their revisions",
    "run": "runs",
    "measurement": "numbers that were measured",
    "item_values": "values of single items",
    "sample": "questions and answers",
    "artifact": "files of runs",
    "event": "what happened",
    "report": "reports",
}


def take_away(engine: Engine) -> None:
    """A study, then everything."""
    st.subheader("One study")
    names = list(reads.studies()["name"])
    chosen = str(st.selectbox("Study", names, key="study", bind="query-params"))
    st.caption("Data, plots (PNG, SVG, PDF, HTML, Vega-Lite), tables (LaTeX, Markdown), the study's document and a manifest with checksums.")  # fmt: skip
    with st.container(horizontal=True):
        st.download_button("Bundle (zip)", lambda: study_bundle(engine, chosen), f"{_file(chosen)}.zip", "application/zip", on_click="ignore", key=f"bundle-{chosen}", icon=":material/folder_zip:")  # fmt: skip
        st.download_button("JSON", lambda: study_json(engine, chosen), f"{_file(chosen)}.json", "application/json", on_click="ignore", key=f"json-{chosen}", icon=":material/data_object:")  # fmt: skip
    st.subheader("The whole database")
    counts = database.row_counts(engine)
    ending = str(st.radio("Format", list(FORMATS), format_func=FORMATS.__getitem__, horizontal=True, key="format"))  # fmt: skip
    st.download_button("All tables (zip)", lambda: _all(engine, ending), f"lethe-{ending}.zip", "application/zip", on_click="ignore", key=f"all-{ending}", icon=":material/database:")  # fmt: skip
    st.caption("Text that a spreadsheet would run as a formula gets a quote in front in CSV. Checkpoints are files of their own: `export-model` writes one as a folder.")  # fmt: skip
    rows = [{"Table": name, "Holds": TABLES.get(name), "Rows": whole(count)} for name, count in counts.items()]  # fmt: skip
    with st.expander(f"{len(rows)} tables"):
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", placeholder="")


def _all(engine: Engine, ending: str) -> bytes:
    with tempfile.TemporaryFile() as out:
        write_database(engine, out, ending)
        out.seek(0)
        return out.read()


def _file(name: str) -> str:
    """A study's name as a file's: names of others' studies may hold anything."""
    kept = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip(".-")
    return kept[:80] or "study"
