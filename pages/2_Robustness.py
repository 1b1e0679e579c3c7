"""What comes back when somebody attacks?"""

import app

app.guard()

from typing import Any  # noqa: E402

import pandas as pd  # noqa: E402
import streamlit as st  # noqa: E402

from backend.anchors import ANCHORS, competing  # noqa: E402
from backend.charts.families import order_of  # noqa: E402
from backend.charts.robustness import (  # noqa: E402
    WORST,
    cells_chart,
    compute_chart,
    compute_families,
    dumbbell_chart,
    oracle_matching_chart,
    relearning_chart,
)
from backend.frontier import frame as frame_of  # noqa: E402
from backend.tables import matching_frame  # noqa: E402
from db import reads as database  # noqa: E402
from pages.components import reads, selection  # noqa: E402
from pages.components.attack_matrix import add_attack, agreement, matrix_section  # noqa: E402
from pages.components.downloads import downloads  # noqa: E402
from pages.components.drawing import quickly  # noqa: E402
from pages.components.inside import (  # noqa: E402
    membership_section,
    places_section,
    verdict_section,
)
from pages.components.leads import lead_on  # noqa: E402


@st.cache_resource(max_entries=20, show_spinner=False)
def relearning_picture(
    study: str, attack: str, metric: str, theme: str, now: tuple[str, ...], _curves: pd.DataFrame
) -> Any:
    """The picture of thousands of looks, built once for each state of the database."""
    return relearning_chart(_curves, metric, theme)


def relearning(study: str, metric: str, known: set[str]) -> None:
    """Worst case of every known configuration, and every cell of one."""
    curves = reads.curves(study)
    curves = curves[curves["configuration"].isin(known)]
    if curves.empty:
        st.info("No attack cell is complete yet.")
        return
    along = curves.groupby("attack", sort=False)["step"].nunique()
    names = list(along[along > 1].index)
    if not names:
        return
    st.subheader("Relearning curves")
    if len(names) > 1:
        chosen = st.selectbox("Attack along its steps", names, key="along", bind="query-params")
        curves = curves[curves["attack"] == chosen]
    st.caption(
        "The worst case over the grid: at every step the attacker keeps the cell and step that look best on the validation part."
    )
    if (curves["cell"] == WORST).any():
        engine = reads.engine()
        now = () if engine is None else (str(engine.url), database.finished_version(engine))
        along = str(curves["attack"].iloc[0])
        now += tuple(sorted(known))  # a narrower view is another picture
        chart = relearning_picture(study, along, metric, reads.theme(), now, curves)
        st.altair_chart(
            quickly(chart), key="relearning", alt="Forget metric along the attack's steps"
        )
        downloads(chart, curves, f"{study}-relearning", table=False)
    names = list(dict.fromkeys(curves["configuration"]))
    mine = [row for row in selection.selected(study, names) if row in names]
    first = names.index(mine[0]) if mine else 0
    name = st.selectbox(
        "Every cell of the grid for", names, first, key="cells", bind="query-params"
    )
    mine = curves[curves["configuration"] == name]
    st.altair_chart(
        quickly(cells_chart(mine, metric)), key="cells_chart", alt=f"Every attack on {name}"
    )


def placebo(document: dict) -> None:
    """Whether the attacks elicit or teach."""
    for name, found in document["placebo"].items():
        verdict = (
            "teaches rather than elicits, and is left out"
            if found["teaches"]
            else "does not teach: what comes back was in the weights"
        )
        st.markdown(
            f"**Placebo.** {name} on facts that were never trained reaches {found['score']:.3f};"
            f" {_guessing(found)} reaches {found['commonest']:.3f} ({found['items']} items)."
            f" The attack {verdict}."
        )


def _guessing(found: dict) -> str:
    tries = found.get("tries", 1)
    return "the commonest answer alone" if tries == 1 else f"guessing the {tries} commonest answers"


def matching(study: str, document: dict) -> None:
    """Students of the oracle: do they relearn faster when they come from the base?"""
    found = matching_frame(document).dropna(subset=["kl", "after"])
    if found.empty:
        return
    st.subheader("Oracle matching")
    st.caption(
        "Students imitate the oracle's outputs on all training questions; numbers are distillation steps. At equal KL a student from the base gives more back than one from a random start, if what it knew is still in its weights."
    )
    chart = oracle_matching_chart(found)
    st.altair_chart(
        quickly(chart),
        key="matching",
        alt="What comes back from students of the oracle, against KL",
    )
    st.dataframe(found, hide_index=True, width="stretch")
    downloads(chart, found, f"{study}-matching", table=False)


def narrowed(study: str, document: dict) -> dict:
    """The document, on request with the chosen configurations and the references alone."""
    known = [row["configuration"] for row in document["rows"]]
    chosen = selection.selected(study, known)
    lead_on(study, chosen, "Robustness")
    if not chosen or not st.toggle(
        f"Only the {len(chosen)} chosen", key="only", bind="query-params"
    ):
        return document
    kept = {*chosen, *(r["configuration"] for r in document["rows"] if r["method"] in ANCHORS)}
    return {**document, "rows": [r for r in document["rows"] if r["configuration"] in kept]}


def page() -> None:
    """Dumbbell, curves, compute, controls."""
    st.title("Robustness")
    st.markdown(
        "**What comes back when somebody attacks?** Suppression claims much; what lasts is what an attacker cannot undo."
    )
    study = reads.choose_study("No study yet: there is nothing to attack.")
    reads.watch(database.finished_version)
    whole = reads.document(study)
    document = narrowed(study, whole)
    frame = frame_of(document)
    if frame.empty:
        reads.study_waits()
    metric = document["reference"]["forget_label"]
    known = frame[competing(frame)]
    st.subheader("Claimed against robust forget quality")
    if known["robust_forget_quality"].notna().any():
        # The page's height holds axis and title too: room for every name.
        chart = dumbbell_chart(known).properties(height=100 + 36 * len(known))
        st.altair_chart(quickly(chart), key="dumbbell", alt="Claimed against robust forget quality")
        downloads(chart, frame, f"{study}-dumbbell", document=document)
    else:
        st.info("No configuration has all its attack cells yet.")
    matrix_section(study, document, metric)
    add_attack(study, document)
    relearning(study, metric, set(frame["configuration"]))
    if known["robust_forget_quality"].notna().any():
        st.subheader("Robustness against compute")
        order = order_of(frame_of(whole))  # all of the study: a narrower view keeps the colours
        chart = compute_chart(frame, reads.theme(), order).properties(height=460)
        st.altair_chart(quickly(chart), key="compute", alt="Robust forget quality against compute")
        st.caption(compute_families(frame, order).told("the tooltip"))
        paper_pair(frame)
    agreement(document)
    verdict_section(document)
    places_section(study, document)
    membership_section(study, document)
    matching(study, document)
    placebo(document)


def paper_pair(frame: pd.DataFrame) -> None:
    """The UNDO paper's own two numbers under their own names."""
    columns = ["configuration", "relative_robustness", "relative_compute_steps"]
    with st.expander(
        "The UNDO paper's own pair: relative robustness and relative compute in steps"
    ):
        st.dataframe(frame[columns].dropna(), hide_index=True, width="stretch")


page()
