"""Importing others' results: the files, what they are, what they would become, and then the import."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from backend.anchors import ANCHORS
from backend.given_files import Given, from_bytes, from_path
from backend.importers import Importer, Options, guessed, kinds
from backend.importing import Prepared, prepared, store
from backend.stage import UserError
from db.session import DatabaseProblem, require_database
from pages.components.csv_mapping import mapping_editor
from pages.components.shown import DASH, plain
from pages.components.signing_in import beyond

FILES, FOLDER, PATH = "Upload files", "Upload a folder", "A path on this machine"
TOLD = "what the files look like"
ENDINGS = ["json", "csv", "tsv"]
FIRST_ROWS = 200


def wizard() -> None:
    """All steps; the next one appears when the one before has what it needs."""
    st.subheader("Import results")
    how = st.radio("Where are the results?", [FILES, FOLDER, PATH], horizontal=True, key="import_how")  # fmt: skip
    try:
        given = _given(str(how), "", "Result files (JSON, CSV)")
        if given is None:
            _kinds_table()
            return
        ready = _prepared(given, str(how))
    except UserError as mistake:
        st.error(plain(str(mistake)))
        return
    _preview(ready)
    _import_button(ready)


def _given(how: str, which: str, label: str) -> Given | None:
    """What the reader chose, None as long as that is nothing; `which` tells several choices apart."""
    if how == PATH:
        if barred := beyond("runner"):
            st.info(f"To read files of this machine: {barred['help']} Files of your own can be uploaded.")  # fmt: skip
            return None
        text = st.text_input(f"{label}: file or folder", key=f"import_path{which}").strip()
        return from_path(Path(text).expanduser()) if text else None
    folder = how == FOLDER
    many: Any = "directory" if folder else True
    uploaded = st.file_uploader(label, type=ENDINGS, accept_multiple_files=many, key=f"import_files{which}{folder}")  # fmt: skip
    if not uploaded:
        return None
    files = [(file.name, file.getvalue()) for file in uploaded]
    first = files[0][0].replace("\\", "/")
    top = first.partition("/")[0] if folder and "/" in first else ""
    if top and all(name.replace("\\", "/").startswith(f"{top}/") for name, _ in files):
        files = [(name[len(top) + 1 :], content) for name, content in files]
    stem = first.rpartition(".")[0].rpartition("/")[2]
    asked = st.text_input("Name of what was evaluated", top or stem, key=f"import_called{which}")
    return from_bytes(asked.strip() or stem, files)


def _prepared(given: Given, how: str) -> Prepared:
    """The import as it would be, by the reader's choices."""
    known = kinds()
    told = guessed(given)
    left, right = st.columns(2)
    chosen = left.selectbox(
        "What are they?",
        [TOLD, *known],
        format_func=lambda name: _kind_label(name, told, known),
        key="import_kind",
    )
    kind = told if chosen == TOLD else str(chosen)
    if kind is None:
        raise UserError(f"{given.name} is of no kind that is known; choose what it is.")
    name = right.text_input("Name of the study", placeholder=f"{kind}-{given.name}", key="import_name")  # fmt: skip
    st.caption(plain(known[kind].summary))
    return _read(given, kind, _options(given, known[kind], how), name.strip())


def _kind_label(name: str, told: str | None, known: dict[str, Importer]) -> str:
    if name != TOLD:
        return known[name].label
    return f"{TOLD}: {known[told].label}" if told else f"{TOLD}: unknown"


def _options(given: Given, importer: Importer, how: str) -> Options:
    reference, common, mapping = None, False, {}
    if "reference" in importer.takes:
        with st.expander("The retain model's results, to compare with"):
            reference = _given(how, "_reference", "Reference results")
    if "common" in importer.takes:
        common = st.checkbox("Leave out items that not all models have", key="import_common")
    if "mapping" in importer.takes:
        mapping = mapping_editor(given)
    return Options(reference, common, mapping)


def _read(given: Given, kind: str, options: Options, name: str) -> Prepared:
    reference = options.reference
    key = repr([_digest(given), _digest(reference), options.common, options.mapping])
    return _read_once(key, kind, name, given, options)


def _digest(given: Given | None) -> Any:
    if given is None:
        return None
    return given.name, [(str(f.path), hashlib.sha256(f.content).hexdigest()) for f in given.files]


@st.cache_resource(max_entries=4, show_spinner="Reading the results …")
def _read_once(key: str, kind: str, name: str, _given: Given, _options: Options) -> Prepared:
    return prepared([_given], kind, _options, name)


def _preview(ready: Prepared) -> None:
    """What would be made, before anything is."""
    told = ready.told()
    competing = [one for one in told if one["method"] not in ANCHORS]
    columns = st.columns(4)
    columns[0].metric("Models", len(told), help="the base and the oracle with them")
    columns[1].metric("Methods", len({one["method"] for one in competing}))
    columns[2].metric("Metrics", len(ready.document["metrics"]))
    columns[3].metric("Seeds", len(ready.document["seeds"]))
    for note in ready.report.notes:
        st.info(plain(note))
    frame = models_table(told[:FIRST_ROWS])
    st.dataframe(frame, hide_index=True, width="stretch", placeholder=DASH, height=min(320, 40 + 35 * len(frame)), column_config=number_columns(ready.document["metrics"]))  # fmt: skip
    if len(told) > FIRST_ROWS:
        st.caption(f"The first {FIRST_ROWS} of {len(told)} models.")
    with st.expander("What the metrics are"):
        st.dataframe(metrics_table(ready.document["metrics"]), hide_index=True, width="stretch", placeholder=DASH)  # fmt: skip


PINNED: dict[str, Any] = {"Model": st.column_config.TextColumn("Model", pinned=True, width="medium")}  # fmt: skip


def models_table(told: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """One row a model: its name and seed, then every number."""
    seeds = {one["seed"] for one in told}
    rows = [
        {"Model": model_name(one["configuration"], one["name"], one["method"])}
        | ({"Seed": one["seed"]} if len(seeds) > 1 else {})
        | one["measurements"]
        for one in told
    ]
    return pd.DataFrame(rows)


def model_name(label: str, name: str, method: str) -> str:
    """A configuration's name; of base and oracle with what the files call them."""
    return f"{label}: {name}" if method in ANCHORS else label


def number_columns(declared: dict[str, Any]) -> dict[str, Any]:
    """Every metric's column under its label, small numbers with their power of ten."""
    return PINNED | {
        name: st.column_config.NumberColumn(one["label"], format="%.4g", help=name)
        for name, one in declared.items()
    }


def metrics_table(declared: dict[str, Any]) -> pd.DataFrame:
    """One row a metric: label, which end is preferred, what more of it means, unit."""
    ways = {"up": "more capability", "down": "less capability", "none": "neither"}
    better = {"higher": "↑ higher", "lower": "↓ lower", None: None}
    rows = [
        {"Name": name, "Label": one["label"], "Better": better[one["better"]], "More of it means": ways[one["direction"]], "Unit": one["unit"]}
        for name, one in declared.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _import_button(ready: Prepared) -> None:
    count = len(ready.runs)
    if not st.button(f"Import {count} model{'s' if count != 1 else ''}", type="primary", key="import", **beyond("runner")):  # fmt: skip
        return
    try:
        done = store(require_database(), ready)
    except DatabaseProblem as problem:
        st.error(plain(str(problem)))
        return
    if not done.changed:
        st.info(plain(f"{ready.name} is there already with the same numbers; nothing was changed."))
        return
    st.session_state["just_imported"] = (ready.name, done.revision, done.new)
    st.rerun()


def _kinds_table() -> None:
    """What can be imported, for whoever has not chosen yet."""
    rows = [{"Kind": one.label, "Files": one.summary} for one in kinds().values()]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", row_height=35)
