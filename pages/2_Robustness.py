"""What comes back when somebody attacks?"""

import app

app.guard()

import pandas as pd  # noqa: E402
import streamlit as st  # noqa: E402

from backend.charts.robustness import (  # noqa: E402
    WORST,
    cells_chart,
    compute_chart,
    dumbbell_chart,
    oracle_matching_chart,
    relearning_chart,
)
from backend.frontier import frame as frame_of  # noqa: E402
from db import reads as database  # noqa: E402
from pages.components import reads  # noqa: E402
from pages.components.attack_matrix import add_attack, agreement, matrix_section  # noqa: E402
from pages.components.downloads import downloads  # noqa: E402
from pages.components.inside import (  # noqa: E402
    membership_section,
    places_section,
    verdict_section,
)
from pages.components.matching import matching_frame  # noqa: E402


def relearning(study: str, metric: str) -> None:
    """Worst case of every configuration, and every cell of one."""
    curves = reads.curves(study)
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
        chart = relearning_chart(curves, metric, reads.theme())
        st.altair_chart(chart, key="relearning", alt="Forget metric along the attack's steps")
        downloads(chart, curves, f"{study}-relearning", table=False)
    names = list(dict.fromkeys(curves["configuration"]))
    name = st.selectbox("Every cell of the grid for", names, key="cells", bind="query-params")
    mine = curves[curves["configuration"] == name]
    st.altair_chart(cells_chart(mine, metric), key="cells_chart", alt=f"Every attack on {name}")


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
    found = matching_frame(study, document)
    if found.empty:
        return
    st.subheader("Oracle matching")
    st.caption(
        "Students imitate the oracle's outputs on all training questions; numbers are distillation steps. At equal KL a student from the base gives more back than one from a random start, if what it knew is still in its weights."
    )
    chart = oracle_matching_chart(found)
    st.altair_chart(
        chart, key="matching", alt="What comes back from students of the oracle, against KL"
    )
    st.dataframe(found, hide_index=True, width="stretch")
    downloads(chart, found, f"{study}-matching", table=False)


def page() -> None:
    """Dumbbell, curves, compute, controls."""
    st.title("Robustness")
    st.markdown(
        "**What comes back when somebody attacks?** Suppression claims much; what lasts is what an attacker cannot undo."
    )
    study = reads.choose_study("No study yet: there is nothing to attack.")
    reads.watch(database.finished_version)
    document = reads.document(study)
    frame = frame_of(document)
    if frame.empty:
        st.info("The study waits. Start a worker on the Jobs page.")
        st.stop()
    metric = document["reference"]["forget_label"]
    known = frame[~frame["method"].isin(["base", "oracle"])]
    st.subheader("Claimed against robust forget quality")
    if known["robust_forget_quality"].notna().any():
        # The page's height holds axis and title too: room for every name.
        chart = dumbbell_chart(known).properties(height=100 + 36 * len(known))
        st.altair_chart(chart, key="dumbbell", alt="Claimed against robust forget quality")
        downloads(chart, frame, f"{study}-dumbbell")
    else:
        st.info("No configuration has all its attack cells yet.")
    matrix_section(study, document, metric)
    add_attack(study, document)
    relearning(study, metric)
    if known["robust_forget_quality"].notna().any():
        st.subheader("Robustness against compute")
        chart = compute_chart(frame, reads.theme()).properties(height=460)
        st.altair_chart(chart, key="compute", alt="Robust forget quality against compute")
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
