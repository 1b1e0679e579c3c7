"""One of the papers' figures on a page: picture, words, table, files, and the way into a report."""

from typing import Any

import pandas as pd
import streamlit as st

from backend import exports, figure_tables
from backend.figure_views import Drawn, Figure, Material
from backend.spreadsheets import csv
from db import reads as database
from pages.components import reads
from pages.components.downloads import downloads
from pages.components.drawing import later, quickly
from pages.components.reporting import add_to_report
from pages.components.shown import plain


def drawn_for(figure: Figure, study: str, material: Material) -> Drawn | str:
    """The figure of this study, drawn once for each state of the database, selection and theme; or what it lacks."""
    engine = reads.engine()
    assert engine is not None
    version = database.finished_version(engine)
    chosen = tuple(material.chosen)
    return _drawn(figure, material, figure.name, str(engine.url), study, chosen, material.theme, version)  # fmt: skip


@st.cache_resource(max_entries=60, show_spinner="Drawing …")
def _drawn(
    _figure: Figure,
    _material: Material,
    name: str,
    place: str,
    study: str,
    chosen: tuple[str, ...],
    theme: str,
    version: str,
) -> Drawn | str:
    return _figure.draw(_material)


def show(figure: Figure, drawn: Drawn, study: str, material: Material) -> None:
    """The figure with its source, its caption, its table twin, downloads and a button for reports."""
    st.subheader(figure.title)
    st.caption(f"After {plain(figure.source)}")
    _picture(figure, drawn)
    st.markdown(plain(drawn.caption))
    name = f"{study}-{figure.name.replace('_', '-')}"
    if drawn.is_table:
        _table_files(drawn, name)
    else:
        with st.expander("The numbers of this figure"):
            _table(drawn.frame)
        downloads(later(lambda: drawn.chart), drawn.frame, name, table=False)
    _report(figure, drawn, study, material)


def _picture(figure: Figure, drawn: Drawn) -> None:
    if drawn.is_table:
        _table(drawn.frame)
        return
    if not drawn.panels:
        width: Any = "content" if drawn.sized else "stretch"
        st.altair_chart(quickly(drawn.single), width=width, key=figure.name, alt=drawn.caption)
        return
    for start in range(0, len(drawn.panels), drawn.across):
        row = drawn.panels[start : start + drawn.across]
        columns = st.columns(max(2, drawn.across))  # one panel alone would be too wide
        for position, (column, panel) in enumerate(zip(columns, row, strict=False)):
            said = f"{figure.title}, panel {start + position + 1}. {drawn.caption}"
            column.altair_chart(quickly(panel), key=f"{figure.name}{start + position}", alt=said)


def _table(frame: pd.DataFrame) -> None:
    numbers = frame.select_dtypes("number").columns
    digits = {name: st.column_config.NumberColumn(format="%.3f") for name in numbers if frame[name].dtype.kind == "f"}  # fmt: skip
    st.dataframe(frame, hide_index=True, width="stretch", column_config=digits)


def _table_files(drawn: Drawn, name: str) -> None:
    made = {
        "Markdown": ("md", figure_tables.markdown(drawn.frame, drawn.caption)),
        "LaTeX": ("tex", figure_tables.latex(drawn.frame, drawn.caption)),
        "CSV": ("csv", csv(drawn.frame)),
    }
    with st.container(horizontal=True):
        for label, (ending, content) in made.items():
            st.download_button(
                label,
                data=content,
                file_name=f"{name}.{ending}",
                on_click="ignore",
                key=f"download-{name}-{ending}",
            )


def _report(figure: Figure, drawn: Drawn, study: str, material: Material) -> None:
    def content() -> dict[str, Any]:
        about = {
            "caption": drawn.caption,
            "study": study,
            "revision": material.whole["revision"],
            "runs": [model for row in material.rows for model in row["models"] if model],
            "address": str(st.context.url or ""),
        }
        frame = drawn.frame.astype(object).where(drawn.frame.notna(), None)
        if drawn.is_table:
            return {"columns": list(frame.columns), "rows": frame.to_numpy().tolist(), **about}
        spec = exports.specification(drawn.chart)
        return {"spec": spec, "data": frame.to_dict("records"), **about}

    kind = "table" if drawn.is_table else "chart"
    add_to_report(kind, f"{figure.title}: {study}", content, key=f"report-{figure.name}")
