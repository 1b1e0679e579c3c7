"""Why a configuration is where it is: the raw numbers, the formula filled in, links to its runs."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from pages.components.shown import DASH, number


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
    if row["weak_evidence"]:
        st.warning("Weak evidence: " + ", ".join(row["weak_evidence"]) + ".")
    for reason in row["reasons"]:
        st.info(reason)


TEXTS = ("attack", "seed", "items", "chosen cell")


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
            "base": [f["base"] for f in raw],
            "before": [f["before"] for f in raw],
            "oracle before": [f["oracle_before"] for f in raw],
            "after the attack": [f["after"] for f in raw],
            "oracle after": [f["oracle_after"] for f in raw],
            "recovery": [f["recovery"] for f in raw],
            "upper bound": [f["upper_bound"] for f in raw],
            "items": [f["items"] for f in raw],
            "chosen cell": [_cell(f["cell"]) for f in raw],
        }
    )
    three = st.column_config.NumberColumn(format="%.3f")
    numbers = [str(name) for name in table if name not in TEXTS]
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        placeholder=DASH,
        column_config=dict.fromkeys(numbers, three),
    )
    counted = [f for f in raw if row["worst_attack"] in (None, f["attack"])]
    known = [f for f in counted if f["recovery"] is not None]
    if known:
        f = known[0]
        st.caption(
            f"{f['attack']}, seed {f['seed']}: recovery = (after − oracle after) / (base − oracle after)"
            f" = ({number(f['after'])} − {number(f['oracle_after'])}) /"
            f" ({number(f['base'])} − {number(f['oracle_after'])}) = {number(f['recovery'])};"
            f" robust forget quality = 1 − recovery. The numbers are {metric.replace('_', ' ')} on the"
            f" score part; the attacker chose among {document['attack_grid_size']} cells and up to"
            f" {document['budget']} steps on the validation part."
        )


def _cell(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return DASH
    rate = cell["parameters"].get("learning_rate")
    return f"rate {rate:g}, step {cell['step']}" if rate else f"step {cell['step']}"
