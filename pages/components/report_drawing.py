"""A block of a report on the page: pictures by Vega, everything else as escaped HTML."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from backend.reports import charts, html
from backend.stage import UserError
from pages.components import reads

HEIGHT, MEETING_HEIGHT = 460, 620


def style() -> None:
    """The looks of blocks, once a page."""
    st.html(f"<style>{html.STYLE}</style>")


def inside(
    kind: str, content: Mapping[str, Any], key: str, live: bool, large: bool = False
) -> None:
    """A block without its title; `live` links to the pages that show what is there now."""
    if kind == "chart":
        picture(content, key, large)
    st.html(html.block(kind, content, live))
    if kind in ("chart", "table") and not large:
        twin(content)


def picture(content: Mapping[str, Any], key: str, large: bool) -> None:
    """The chart, drawn from the data that it holds."""
    try:
        spec = charts.for_page(content.get("spec", {}), reads.theme(), large)
    except UserError as mistake:
        st.error(str(mistake))
        return
    st.vega_lite_chart(
        spec=spec,
        height=MEETING_HEIGHT if large else HEIGHT,
        key=key,
        alt=str(content.get("caption") or "A chart of the report"),
    )


def twin(content: Mapping[str, Any]) -> None:
    """The very numbers behind a picture or a table."""
    if content.get("data"):
        with st.expander("The data behind it"):
            st.dataframe(pd.DataFrame(content["data"]), hide_index=True, width="stretch")
