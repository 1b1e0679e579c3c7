"""Curves of the configurations that are compared, laid over each other with bands over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from backend.charts.comparison import banded_chart
from backend.charts.robustness import WORST
from backend.curve_bands import band_words, bands, trained_runs
from pages.components import reads
from pages.components.compare_report import chart_to_report
from pages.components.downloads import downloads
from pages.components.drawing import quickly
from pages.components.shown import plain

Rows = Sequence[Mapping[str, Any]]
DRAWN = 12  # lines that can still be told apart


def curves_section(
    study: str, document: Mapping[str, Any], rows: Rows, names: Mapping[str, str]
) -> None:
    """How fast it comes back under an attack, and how the training went."""
    st.subheader("How do they go along the way?")
    relearning(study, document, names)
    training(study, document, rows, names)


def relearning(study: str, document: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """The worst case over the grid along an attack's steps."""
    curves = reads.curves(study)
    mine = curves[curves["configuration"].isin(list(names)) & (curves["cell"] == WORST)]
    along = mine.groupby("attack", sort=False)["step"].nunique()
    attacks = list(along[along > 1].index)
    if not attacks:
        st.info("No attack along steps has all its cells complete for these configurations yet.")
        return
    chosen = str(attacks[0])
    if len(attacks) > 1:
        chosen = str(st.selectbox("Attack along its steps", attacks, key="along", bind="query-params"))  # fmt: skip
    mine = mine[mine["attack"] == chosen]
    metric = document["reference"]["forget_label"]
    said = f"Relearning under {chosen}: forget {metric} on the score part, worst case over the grid"
    drawn(bands(mine, "score"), "Attack steps", f"Forget {metric}, worst case", names, said, study, "relearning", document)  # fmt: skip


def training(study: str, document: Mapping[str, Any], rows: Rows, names: Mapping[str, str]) -> None:
    """A training or validation curve of one kind of stage."""
    _, runs = reads.planned(study)
    made = trained_runs(runs, {row["configuration"]: row["models"] for row in rows})
    measured = reads.trained([int(run) for run in made["run"]])
    joined = made.merge(measured, on="run")
    joined["kind"] = joined["stage"] + ": " + joined["metric"] + " (" + joined["split"] + ")"
    lengths = joined.groupby(["kind", "run"], sort=False)["step"].nunique()
    long = lengths[lengths > 1].index.get_level_values("kind")
    kinds = sorted(set(long), key=lambda kind: (": loss (train)" not in kind, kind))
    if not kinds:
        st.caption("None of these configurations has a stored training curve.")
        return
    kind = str(st.selectbox("Training or validation curve", kinds, key="curve", bind="query-params"))  # fmt: skip
    mine = joined[joined["kind"] == kind]
    said = f"Training: {kind}"
    drawn(bands(mine, "value"), "Training steps", kind, names, said, study, "training", document)
    st.caption("Configurations that share a run share its curve.")


def drawn(
    banded: pd.DataFrame,
    x: str,
    y: str,
    names: Mapping[str, str],
    said: str,
    study: str,
    what: str,
    document: Mapping[str, Any],
) -> None:
    """A chart of bands with its words, downloads, report button and table."""
    if banded.empty:
        st.info("No step is there for all seeds.")
        return
    first = list(dict.fromkeys(banded["configuration"]))[:DRAWN]
    shown = banded[banded["configuration"].isin(first)]
    chart = banded_chart(shown, x, y, names)
    words = f"{said}. Mean over seeds; {band_words(banded)}. {_left_out(banded, names)}".strip()
    st.altair_chart(quickly(chart), key=f"chart-{what}", alt=f"{words} {_ends(shown, names)}")
    st.caption(plain(words))
    with st.container(horizontal=True):
        chart_to_report(said, chart, shown, words, f"report-{what}", study, document)
    downloads(chart, shown, f"{study}-compare-{what}", table=False)
    with st.expander("The curves as a table"):
        st.dataframe(banded, hide_index=True, width="stretch")


def _left_out(banded: pd.DataFrame, names: Mapping[str, str]) -> str:
    """Who has no curve, and how many are beyond what a picture holds."""
    there = set(banded["configuration"])
    lacking = [named for label, named in names.items() if label not in there]
    told = []
    if len(there) > DRAWN:
        told.append(f"Drawn are the first {DRAWN} of {len(there)} configurations.")
    if lacking:
        told.append(f"Without such a curve, or with cells missing: {', '.join(lacking)}.")
    return " ".join(told)


def _ends(banded: pd.DataFrame, names: Mapping[str, str]) -> str:
    """Where every curve ends, for those who cannot see them."""
    last = banded.groupby("configuration", sort=False).tail(1)
    ends = zip(last["configuration"], last["mean"], last["step"], strict=True)
    return "; ".join(f"{names[c]} ends at {mean:.3f} at step {step}" for c, mean, step in ends)
