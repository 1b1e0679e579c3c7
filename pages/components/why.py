"""Why a configuration is where it is: the raw numbers, the formula filled in, links to its runs."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from pages.components.attack_words import choice_words, search_words, takes_steps
from pages.components.shown import DASH, number, plain


def why(row: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    """The panel of one configuration."""
    st.subheader(row["configuration"])
    links = " · ".join(
        f'<a href="Runs?run={int(model)}" target="_self">run {int(model)}</a>'
        for model in row["models"]
        if model is not None
    )
    st.html(f"<div>Models: {links or 'none yet'}</div>")
    columns = st.columns(4)
    names = ("robust_forget_quality", "claimed_forget_quality", "utility", "compute")
    labels = ("Robust forget quality", "Claimed forget quality", "Utility", "Compute")
    for column, name, label in zip(columns, names, labels, strict=True):
        found = row[name]
        wide = found["high"] is not None
        help_text = f"95 % interval over seeds: {number(found['low'])} … {number(found['high'])}"
        column.metric(
            label, number(found["mean"]), help=help_text if wide else "1 seed, no interval"
        )
    _formula(row, document)
    for told in search_words(row["stages"]):
        st.caption(plain(told))
    if row["weak_evidence"]:
        st.warning("Weak evidence: " + ", ".join(row["weak_evidence"]) + ".")
    for reason in row["reasons"]:
        st.info(reason)


STEPS, RATE = "attack steps", "learning rate"
CHOSEN: dict[str, Any] = {
    STEPS: st.column_config.NumberColumn(
        format="%d",
        help="how far the attack had gone where it counts: the attacker chose the step on validation data",
    ),
    RATE: st.column_config.NumberColumn(
        format="%g", help="the attack's: the attacker chose it from the grid on validation data"
    ),
}
TEXTS = ("attack", "seed", "items", STEPS, RATE)


def _formula(row: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    raw = [found for found in row["raw"] if found]
    if not raw:
        st.caption("No attack cell of this configuration is complete yet.")
        return
    metric = document["reference"]["metric_forget"]
    table = pd.DataFrame(
        {
            "attack": [f["attack"] for f in raw],
            "seed": [f["seed"] for f in raw],
            STEPS: [_steps(f, document) for f in raw],
            RATE: [(f["cell"] or {}).get("parameters", {}).get("learning_rate") for f in raw],
            "base": [f["base"] for f in raw],
            "before": [f["before"] for f in raw],
            "oracle before": [f["oracle_before"] for f in raw],
            "after the attack": [f["after"] for f in raw],
            "oracle after": [f["oracle_after"] for f in raw],
            "recovery": [f["recovery"] for f in raw],
            "upper bound": [f["upper_bound"] for f in raw],
            "items": [f["items"] for f in raw],
        }
    )
    table = table.drop(columns=[name for name in CHOSEN if table[name].isna().all()])
    three = st.column_config.NumberColumn(format="%.3f")
    numbers = [str(name) for name in table if name not in TEXTS]
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        placeholder=DASH,
        column_config={**dict.fromkeys(numbers, three), **CHOSEN},
    )
    counted = [f for f in raw if row["worst_attack"] in (None, f["attack"])]
    known = [f for f in counted if f["recovery"] is not None]
    if known:
        f = known[0]
        st.caption(
            f"{f['attack']}, seed {f['seed']}{_when(f, document)}: recovery = (after − oracle after) / (base − oracle after)"
            f" = ({number(f['after'])} − {number(f['oracle_after'])}) /"
            f" ({number(f['base'])} − {number(f['oracle_after'])}) = {number(f['recovery'])};"
            f" robust forget quality = 1 − recovery. The numbers are {metric.replace('_', ' ')} on the"
            f" score part. Which of the {document['attack_grid_size']} attack cells (an attack with one choice of its"
            f" parameters) and which step up to {document['budget']} counts, the attacker decided on the validation part."
        )


def _steps(found: Mapping[str, Any], document: Mapping[str, Any]) -> int | None:
    """After how many of its steps the attack counts; None where it has none."""
    cell = found["cell"]
    return cell["step"] if cell and takes_steps(document, found["attack"]) else None


def _when(found: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    known = found["cell"] and takes_steps(document, found["attack"])
    return f", {choice_words(found['cell'])}" if known else ""
