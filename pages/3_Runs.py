"""What was run, with what, and what came out?"""

import app

app.guard()

import pandas as pd  # noqa: E402
import streamlit as st  # noqa: E402

from backend.commands.queue import remove_files  # noqa: E402
from db import reads as database  # noqa: E402
from db import writes  # noqa: E402
from db.session import DatabaseProblem, require_database  # noqa: E402
from pages.components import reads  # noqa: E402
from pages.components.cost_view import cost_by_stage  # noqa: E402
from pages.components.run_view import run_view  # noqa: E402
from pages.components.shown import DASH, flops, listed, seconds, size, state  # noqa: E402

COLUMNS = [
    "id",
    "stage",
    "name",
    "seed",
    "state",
    "steps",
    "seconds",
    "flops",
    "error",
    "parameters",
]

TITLES = {
    "id": st.column_config.NumberColumn("Run", format="%d"),
    "steps": st.column_config.NumberColumn("Steps", format="%d"),
    "flops": "FLOPs",
    "seconds": "Time",
    **{
        name: name.capitalize()
        for name in ("stage", "name", "seed", "state", "error", "parameters")
    },
}


def filtered(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows that the controls leave."""
    columns = st.columns([1, 1, 1, 2])
    for column, name, label in zip(
        columns, ("stage", "state", "seed"), ("Stage", "State", "Seed"), strict=False
    ):
        values = sorted(runs[name].unique().tolist())
        kept = column.multiselect(label, values, key=f"filter_{name}", bind="query-params")
        runs = runs[runs[name].isin(kept)] if kept else runs
    text = columns[3].text_input(
        "Text", key="text", bind="query-params", placeholder="a name or a parameter"
    )
    if text:
        told = runs["name"] + " " + runs["parameters"].astype(str)
        runs = runs[told.str.contains(text, case=False, regex=False)]
    return runs


def table(study: str) -> None:
    """The study's runs; a row opens its run."""
    record = database.study(engine, study)
    assert record is not None
    runs = database.study_runs(engine, record.id)
    kept = filtered(runs)
    st.caption(f"{len(kept)} of {len(runs)} runs. Choose a row to open it.")
    shown = kept[COLUMNS].assign(
        state=[state(row) for row in kept.to_dict("records")],
        parameters=kept["parameters"].map(listed),
        seconds=kept["seconds"].map(seconds),
        flops=kept["flops"].map(flops),
    )
    event = st.dataframe(
        shown.reset_index(drop=True), hide_index=True, on_select="rerun", selection_mode="single-row", key="runs_table", width="stretch", placeholder=DASH, column_config=TITLES,
    )  # fmt: skip
    rows = event["selection"]["rows"] if event else []
    if rows:
        st.query_params["run"] = str(int(kept.iloc[rows[0]]["id"]))
        st.rerun()


def storage(study: str) -> None:
    """Disk used, and the way to delete."""
    st.caption(f"Files of all runs on disk: {size(database.disk_used(engine))}.")
    with st.expander(f"Delete the study {study}"):
        st.markdown(
            "Its runs go with their files, except those that another study has too. This cannot be undone."
        )
        sure = st.text_input("Write the study's name to confirm", key="confirm")
        if st.button("Delete", disabled=sure != study):
            try:
                deleted = writes.delete_study(require_database(), study)
            except DatabaseProblem as problem:
                st.error(str(problem))
                return
            remove_files(deleted.files)
            st.rerun()


st.title("Runs")
st.markdown("**What was run, with what, and what came out?**")
engine = reads.engine()
wanted = st.query_params.get("run")
if engine is None:
    reads.nothing_yet("No run yet. The quick study makes 70.")
elif wanted:
    run = database.run(engine, int(wanted)) if wanted.isascii() and wanted.isdigit() else None
    st.html('<a href="Runs" target="_self">← All runs</a>')
    if run is None:
        st.warning(f"There is no run {wanted}; it may have been deleted.")
    else:
        run_view(engine, run)
else:
    chosen = reads.choose_study("No study yet, so no runs.")
    reads.watch(database.finished_version)
    table(chosen)
    cost_by_stage(engine, chosen)
    storage(chosen)
