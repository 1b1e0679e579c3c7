"""Links from a number to its definition."""

from collections.abc import Iterable

import streamlit as st

from backend.charts.theme import NAMES


def definition_links(names: Iterable[str]) -> None:
    """A row of links to the page Definitions, one for each objective."""
    with st.container(horizontal=True):
        for name in dict.fromkeys(names):
            st.page_link(
                "pages/11_Definitions.py",
                label=f"What is {NAMES.get(name, name)}?",
                icon=":material/help:",
                query_params={"of": name},
            )
