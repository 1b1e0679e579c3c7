"""Which column of a table is what: proposed by names and cells, changed by the reader."""

from typing import Any

import pandas as pd
import streamlit as st

from backend.given_files import Given
from backend.importers.csv import TABLES, proposed, table

METHOD, SEED, SETTING, NUMBER, OUT = "method", "seed", "setting", "number", "leave out"
BETTER = {"higher": "↑ higher", "lower": "↓ lower", None: "neither"}
MEANS = {"up": "more capability", "down": "less capability", "none": "neither"}


def mapping_editor(given: Given) -> dict[str, Any]:
    """The mapping of a table, as proposed or as the reader changed it; the first rows stand beside it."""
    file = next(one for one in given.files if one.path.suffix.lower() in TABLES)
    columns, rows = table(file)
    start = proposed(columns, rows)
    st.markdown("**Which column is what?**")
    edited = st.data_editor(
        pd.DataFrame([_row(name, start, rows) for name in columns]),
        hide_index=True,
        width="stretch",
        disabled=["Column", "First cells"],
        key=f"mapping {'|'.join(columns)[:200]}",
        column_config={
            "Is": st.column_config.SelectboxColumn(options=[METHOD, SEED, SETTING, NUMBER, OUT], required=True),
            "Better": st.column_config.SelectboxColumn(options=list(BETTER.values())),
            "More of it means": st.column_config.SelectboxColumn(options=list(MEANS.values())),
        },
    )  # fmt: skip
    anchors = st.columns(2)
    return {
        **_mapping(edited.to_dict("records")),
        "base": anchors[0].text_input("The base is called", start["base"], key="csv_base"),
        "oracle": anchors[1].text_input("The oracle is called", start["oracle"], key="csv_oracle"),
    }


def _row(name: str, start: dict[str, Any], rows: list[dict[str, str]]) -> dict[str, Any]:
    metric = start["metrics"].get(name, {})
    is_what = (
        METHOD if name == start["method"]
        else SEED if name == start["seed"]
        else NUMBER if metric
        else SETTING if name in start["parameters"]
        else OUT
    )  # fmt: skip
    cells = ", ".join(row[name] for row in rows[:3])
    return {
        "Column": name,
        "Is": is_what,
        "Better": BETTER[metric["better"]] if metric else None,
        "More of it means": MEANS[metric["direction"]] if metric else None,
        "First cells": cells[:60],
    }


def _mapping(rows: list[Any]) -> dict[str, Any]:
    better = {shown: told for told, shown in BETTER.items()}
    means = {shown: told for told, shown in MEANS.items()}
    named = {what: [row["Column"] for row in rows if row["Is"] == what] for what in (METHOD, SEED, SETTING)}  # fmt: skip
    metrics = {
        row["Column"]: {
            "direction": means.get(row["More of it means"], "none"),
            "better": better.get(row["Better"]),
            "label": row["Column"],
        }
        for row in rows
        if row["Is"] == NUMBER
    }
    one = {what: found[0] if len(found) == 1 else None for what, found in named.items()}
    return {"method": one[METHOD], "seed": one[SEED], "parameters": named[SETTING], "metrics": metrics}  # fmt: skip
