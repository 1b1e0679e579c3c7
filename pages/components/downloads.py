"""Buttons that hand over a chart and its data, made when they are clicked."""

from typing import Any

import pandas as pd
import streamlit as st

from backend import exports


def downloads(chart: Any, frame: pd.DataFrame, name: str, table: bool = True) -> None:
    """PNG, SVG, PDF, HTML and Vega-Lite of the chart; CSV (and LaTeX) of the very frame it is drawn from."""
    made: dict[str, tuple[str, Any]] = {
        "PNG": ("png", lambda: exports.png(chart)),
        "SVG": ("svg", lambda: exports.svg(chart)),
        "PDF": ("pdf", lambda: exports.pdf(chart)),
        "HTML": ("html", lambda: exports.html(chart)),
        "Vega-Lite": ("vl.json", lambda: exports.vega(chart)),
        "CSV": ("csv", lambda: exports.csv(frame)),
    }
    if table:
        made["LaTeX"] = ("tex", lambda: exports.latex(frame))
    with st.container(horizontal=True):
        for label, (ending, write) in made.items():
            st.download_button(
                label,
                data=write,
                file_name=f"{name}.{ending}",
                on_click="ignore",
                key=f"download-{name}-{ending}",
            )
