"""What differs between the recipes that are compared."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from backend.recipe_differences import side_by_side
from backend.spreadsheets import csv


def recipes_section(
    study: str, rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]
) -> None:
    """Stages and parameters that differ; the equal ones are folded away."""
    st.subheader("What differs in the recipes?")
    different, equal = side_by_side(rows)
    across = st.toggle("Configurations as rows", key="across", bind="query-params")
    st.dataframe(_laid_out(different, names, across), width="stretch")
    st.caption(
        "Every default is written out; — is a stage or a parameter that a recipe does not have."
    )
    st.download_button(
        "CSV",
        data=lambda: csv(different.reset_index()),
        file_name=f"{study}-recipes.csv",
        on_click="ignore",
        key="download-recipes",
    )
    if len(equal):
        count = len(equal)
        with st.expander(f"{count} line{'s' if count > 1 else ''} equal in all of them"):
            first = equal.iloc[:, :1].set_axis(["value"], axis=1)
            st.dataframe(first, width="stretch")


def _laid_out(table: pd.DataFrame, names: Mapping[str, str], across: bool) -> pd.DataFrame:
    named = table.rename(columns=dict(names))
    return named.T.rename_axis("configuration") if across else named
