"""Which of these is better, and is the difference more than chance?"""

import app

app.guard()

from typing import Any  # noqa: E402

import streamlit as st  # noqa: E402

from backend.charts.frontier import told_apart  # noqa: E402
from backend.comparison_default import completed  # noqa: E402
from db import reads as database  # noqa: E402
from pages.components import reads, selection  # noqa: E402
from pages.components.compare_curves import curves_section  # noqa: E402
from pages.components.compare_items import items_section  # noqa: E402
from pages.components.compare_numbers import numbers_section  # noqa: E402
from pages.components.compare_recipes import recipes_section  # noqa: E402
from pages.components.leads import lead_on  # noqa: E402
from pages.components.shown import plain  # noqa: E402


def page() -> None:
    """Who is compared, then numbers, recipes, curves and items."""
    st.title("Compare")
    st.markdown("**Which of these is better, and is the difference more than chance?**")
    left, right = st.columns(2)
    with left:
        study = reads.choose_study(
            "No study yet, so there is nothing to compare. The quick study takes a few minutes on two CPU cores."
        )
    reads.watch(database.finished_version)
    document = reads.document(study)
    if not document["rows"]:
        reads.study_waits()
    rows = chosen_rows(study, document)
    # Told apart among all of the study, as on the Frontier: a name is then the same in every comparison.
    short = told_apart(row["configuration"] for row in document["rows"])
    names = {row["configuration"]: short[row["configuration"]] for row in rows}
    with right:
        reference = choose_reference(names)
    evidence(document, rows, names)
    numbers_section(study, document, rows, names, reference)
    recipes_section(study, rows, names)
    curves_section(study, document, rows, names)
    items_section(study, rows, names, reference)


def chosen_rows(study: str, document: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows to compare: what the reader chose, or what says most where nothing is chosen."""
    known = {row["configuration"]: row for row in document["rows"]}
    chosen = selection.select_by_name(study, known, "Compare")
    lead_on(study, chosen, "Compare")
    names, why = completed(document["rows"], chosen)
    if len(names) < 2:
        st.info(
            "This study has one configuration only, and a comparison takes two. Add a recipe to it on the Launch page."
        )
        st.html('<a href="Launch" target="_self">Launch</a>')
        st.stop()
    if why is not None:
        st.info(
            f"{why} Choose others above, or click them on the Frontier.", icon=":material/info:"
        )
    return [known[name] for name in names]


def choose_reference(names: dict[str, str]) -> str:
    """Against which one the others are tested; in the address."""
    return str(
        st.selectbox(
            "Reference",
            list(names),
            key="ref",
            bind="query-params",
            help="the others are tested against this one, seed by seed",
        )
    )


def evidence(document: dict[str, Any], rows: list[dict[str, Any]], names: dict[str, str]) -> None:
    """What all numbers of the page rest on, and whose are weak."""
    seeds = rows[0]["seeds"]
    st.caption(
        f"{plain(document['setting'])}; {seeds} seed{'s' if seeds != 1 else ''}; worst case over"
        f" {document['attack_grid_size']} attack cells, {document['budget']} steps; anchor: {document['anchor']}."
    )
    weak = [
        f"{plain(names[row['configuration']])}: {', '.join(row['weak_evidence'])}"
        for row in rows
        if row["weak_evidence"] and row["weak_evidence"] != ["1 seed"]
    ]
    if weak:
        st.warning("Weak evidence. " + "; ".join(weak) + ".")


page()
