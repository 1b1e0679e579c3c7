"""What shows inside a model: membership, probes by layer, divergence by token, verdicts on items."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from backend.attack_frames import by_place, roc
from backend.charts.attacks import place_chart, roc_chart
from backend.membership import auc, true_positives_at
from backend.study_metrics import VERDICTS
from db import reads as database
from pages.components import reads
from pages.components.downloads import downloads
from pages.components.drawing import quickly

MEMBERSHIP = {
    "mia_loss": "LOSS",
    "mia_zlib": "ZLib",
    "mia_reference": "Reference",
    "mia_min_k": "Min-K %",
    "mia_min_k_plus_plus": "Min-K %++",
    "mia_gradnorm": "Gradient norm",
}
BY_PLACE = {
    "Linear probe: accuracy by layer": ("probe_accuracy", "layer", "Accuracy"),
    "Linear probe: selectivity by layer": ("probe_selectivity", "layer", "Accuracy above control labels"),
    "Logit lens: accuracy by layer": ("lens_accuracy", "layer", "Accuracy"),
    "Unlearning depth by layer": ("unlearning_depth", "layer", "Share of the knowledge that is gone"),
    "Similarity to the base by layer (CKA)": ("cka", "layer", "Linear CKA"),
    "Divergence from the base by answer token": ("depth_by_token", "token", "KL divergence (nats)"),
}  # fmt: skip


def membership_section(study: str, document: dict[str, Any]) -> None:
    """ROC curves of one membership attack on every configuration of one seed."""
    engine = reads.engine()
    record = database.study(engine, study) if engine else None
    names = [name for name in MEMBERSHIP if record and name in record.document.get("metrics", {})]
    if not names or record is None or engine is None:
        return
    st.subheader("Can membership be told?")
    columns = st.columns(2)
    chosen = columns[0].selectbox("Attack", names, format_func=lambda n: MEMBERSHIP[n], key="mia")
    seed = columns[1].selectbox("Seed", record.document["seeds"], key="mia_seed")
    statistics = _statistics(engine, record, str(chosen), int(seed))
    frame = roc({f"{name} ({auc(*pair):.2f})": pair for name, pair in statistics.items()})
    if frame.empty:
        st.info("No evaluation with this attack is complete yet.")
        return
    st.caption(
        "Forget items against items that no model was trained on. The oracle's curve is the reference, not the diagonal:"
        " both more and less than the oracle tells an attacker that something was unlearnt."
    )
    chart = roc_chart(frame, reads.theme())
    st.altair_chart(quickly(chart), key="roc", alt=f"ROC curves of {MEMBERSHIP[str(chosen)]}")
    downloads(chart, frame, f"{study}-roc-{chosen}", table=False)
    st.dataframe(_rates(statistics), width="stretch")


def _rates(statistics: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    """AUC, its distance from the oracle's, and the true positives at few false ones, a line a configuration."""
    found = pd.DataFrame(
        {
            name: {
                "AUC": auc(*pair),
                "True positives at 1 % false": true_positives_at(*pair, 0.01),
                "True positives at 0.1 % false": true_positives_at(*pair, 0.001),
            }
            for name, pair in statistics.items()
        }
    ).T
    if "Oracle" in found.index:
        found.insert(1, "Distance from the oracle", (found["AUC"] - found["AUC"]["Oracle"]).abs())
    return found.round(3)


def _statistics(
    engine: Any, record: Any, metric: str, seed: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(members, others) of every configuration by its label."""
    inside, outside = (
        {
            key: values
            for split in splits
            for key, values in database.item_values(
                engine, None, metric, split, study_id=record.id
            ).items()
        }
        for splits in (("forget_score", "members_score"), ("placebo_score", "unseen_score"))
    )
    runs = database.study_runs(engine, record.id)
    audits = runs[(runs["stage"] == "evaluate") & (runs["name"] == "audit")]
    audit_of = {int(parent): int(run) for parent, run in zip(audits["parent"], audits["id"], strict=True)}  # fmt: skip
    number = dict(zip(runs["fingerprint"], runs["id"], strict=True))
    found = {}
    for configuration in record.document["configurations"]:
        model = number.get(configuration["runs"].get(str(seed), ""))
        key = (audit_of.get(int(model), -1) if model is not None else -1, 0)
        if key in inside and key in outside:
            found[configuration["label"]] = (inside[key], outside[key])
    return found


def places_section(study: str, document: dict[str, Any]) -> None:
    """Probes, logit lens and depth by layer, divergence by token."""
    told = reads.measured_by_place(study, [metric for metric, _, _ in BY_PLACE.values()])
    if told is None:
        return
    record, runs, measured = told
    frames = {
        title: by_place(record.document, measured, runs, metric, word)
        for title, (metric, word, _) in BY_PLACE.items()
    }
    known = [title for title, frame in frames.items() if len(frame)]
    if not known:
        return
    st.subheader("Where is it, and how deep?")
    title = str(st.selectbox("Show", known, key="place"))
    _, word, axis = BY_PLACE[title]
    several = frames[title]["place"].nunique() > 1
    chart = place_chart(frames[title], word, axis)
    st.altair_chart(quickly(chart), key="places", alt=title)
    if not several:
        st.caption(f"There is one {word} only.")
    downloads(chart, frames[title], f"{study}-{title.split(':')[0].lower().replace(' ', '-')}", table=False)  # fmt: skip


def verdict_section(document: dict[str, Any]) -> None:
    """What sampling, probe and relearning together say of the forget items."""
    rows = {
        row["configuration"]: row["study_metrics"]["knowledge_verdict"].get("shares")
        for row in document["rows"]
    }
    known = {name: shares for name, shares in rows.items() if shares}
    if not known:
        return
    st.subheader("Absent, or present but suppressed?")
    st.caption(
        "Shares of the forget items by what sampling, a probe and relearning say together; a witness who says the same of"
        " the oracle is not heard. Means over seeds."
    )
    frame = pd.DataFrame(known).T[list(VERDICTS)]
    share = st.column_config.ProgressColumn(format="%.2f", min_value=0.0, max_value=1.0)
    st.dataframe(frame, width="stretch", column_config=dict.fromkeys(VERDICTS, share))
