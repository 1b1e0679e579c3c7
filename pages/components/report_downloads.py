"""A report as files, made when they are asked for."""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from backend.reports import files


def report_downloads(found: Mapping[str, Any], told: Mapping[str, Any], events: pd.DataFrame) -> None:  # fmt: skip
    """HTML, PDF, Markdown with LaTeX, and the frozen text itself."""
    stem = re.sub(r"[^A-Za-z0-9]+", "-", told["title"]).strip("-").lower()[:60] or "report"
    whole = files.document(told, found["sha256"], events)
    made: dict[str, tuple[str, Any]] = {
        "HTML": ("html", lambda: files.html(whole)),
        "PDF": ("pdf", lambda: files.pdf(whole)),
        "Markdown + LaTeX": ("zip", lambda: files.bundle(whole)),
    }
    if found["frozen"] is not None:
        made["Frozen data"] = ("json", lambda: found["frozen"].encode())
    with st.container(horizontal=True):
        for label, (ending, write) in made.items():
            st.download_button(
                label, data=write, file_name=f"{stem}.{ending}", on_click="ignore", key=f"report {ending}", disabled=not told["blocks"],
            )  # fmt: skip
    if found["frozen"] is None:
        st.caption("Files of an open report say that it is not frozen.")
