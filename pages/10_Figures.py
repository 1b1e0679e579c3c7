"""What do the papers' own figures look like with these runs?"""

import app

app.guard()

import streamlit as st  # noqa: E402

from backend.figure_views import Drawn, figures  # noqa: E402
from db import reads as database  # noqa: E402
from pages.components import reads, selection  # noqa: E402
from pages.components.figure_material import material  # noqa: E402
from pages.components.figure_view import drawn_for, show  # noqa: E402
from pages.components.leads import lead_on  # noqa: E402
from pages.components.shown import plain  # noqa: E402


def page() -> None:
    """Every figure that the study can show, then what the others would take."""
    st.title("Figures")
    st.markdown(
        "**What do the papers' own figures look like with these runs?** The same axes as in the papers, this study's numbers; their scales, models and data differ. The frontier's own figure is on the page Frontier, under Download."
    )
    study = reads.choose_study("No study yet: there is nothing to draw.")
    reads.watch(database.finished_version)
    document = reads.document(study)
    if not document["rows"]:
        reads.study_waits()
    known = [row["configuration"] for row in document["rows"]]
    chosen = selection.select_by_name(study, known, "Draw only these, with base and oracle")
    lead_on(study, chosen, "Figures")
    found = material(study, chosen)
    lacking = {}
    for figure in figures():
        drawn = drawn_for(figure, study, found)
        if isinstance(drawn, Drawn):
            show(figure, drawn, study, found)
        else:
            lacking[f"{figure.title}, after {figure.source.split(' (')[0]}"] = drawn
    cannot(lacking, bool(chosen))


def cannot(lacking: dict[str, str], narrowed: bool) -> None:
    """The figures that are not there, each with the reason."""
    if not lacking:
        return
    st.subheader("What this study cannot show")
    if narrowed:
        st.caption("With the chosen configurations alone.")
    st.markdown("\n".join(f"- **{plain(name)}**: {plain(why)}" for name, why in lacking.items()))


page()
