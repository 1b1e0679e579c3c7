"""Methods × attacks, what a click on a cell opens, and how to fill what is missing."""

import math
from typing import Any

import pandas as pd
import streamlit as st

from backend import catalogue
from backend import study as studies
from backend.anchors import competing
from backend.attack_frames import KNOWN, MISSING, matrix, pivot
from backend.charts.attacks import matrix_chart
from backend.charts.robustness import cells_chart
from backend.stage import UserError
from backend.submission import submitted
from db import reads as database
from db import writes
from pages.components import reads
from pages.components.attack_words import choice_words, takes_steps
from pages.components.downloads import downloads
from pages.components.drawing import quickly
from pages.components.shown import DASH, flops, number, plain
from pages.components.signing_in import beyond

NO_LIMIT = "no limit"
NOTES = {
    "weights": "changes weights",
    "access": "leaves weights alone",
    "policy": "would succeed against the oracle too; never counted",
    "probe": "shows what is there; never counted",
}


def expense(document: dict[str, Any]) -> float | None:
    """What an attacker may spend on one cell at most, as the reader chooses; None is no limit."""
    spent = [one["flops"] for row in document["rows"] for one in row["attacks"].values()]
    known = [value for value in spent if value]
    if len(known) < 2 or max(known) < 3 * min(known):
        return None
    first, last = (math.floor(math.log10(edge(known))) for edge in (min, max))
    scale = [10.0**power * step for power in range(first, last + 1) for step in (1, 3)]
    options = [value for value in scale if min(known) <= value < max(known)]
    chosen: Any = st.select_slider(
        "Attacker's FLOPs on one cell at most",
        [*options, NO_LIMIT],
        NO_LIMIT,
        format_func=lambda value: value if value == NO_LIMIT else flops(value),
        key="expense",
        help="attacks at equal expense; cells that cost more count up to the look that was still affordable",
    )
    return None if chosen == NO_LIMIT else float(chosen)


def matrix_section(study: str, whole: dict[str, Any], metric: str) -> None:
    """The matrix, its table, the chosen cell, and the buttons that queue what is missing."""
    st.subheader("Methods × attacks")
    limit = expense(whole)
    document = whole if limit is None else reads.document(study, attacker_flops=limit)
    frame = matrix(document)
    st.caption(
        "Recovery under the strongest cell of each attack's grid: 0 is the oracle's level, 1 what the base knew."
        " Blank cells are not complete; *n/a* says why on hover; what *teaches* brings out facts that were never trained."
        " Click a cell for its curve, grid and examples."
    )
    # The page's height holds names and legend too.
    height = 230 + 26 * frame["configuration"].nunique()
    chart = matrix_chart(frame, reads.theme()).properties(height=height)
    event: Any = st.altair_chart(
        quickly(chart), on_select="rerun", selection_mode=["cell"], key="matrix", alt=_told(frame)
    )
    downloads(chart, frame, f"{study}-attacks", table=False)
    with st.expander("The matrix as a table"):
        st.dataframe(pivot(frame), width="stretch")
    missing(study, frame)
    picked = (event or {}).get("selection", {}).get("cell", [])
    chosen = picked[0] if picked else None
    options = [f"{r.configuration}: {r.label}" for r in frame.itertuples()]
    marks = [
        chosen is not None
        and (r.configuration, r.attack) == (chosen.get("configuration"), chosen.get("attack"))
        for r in frame.itertuples()
    ]
    name = st.selectbox(
        "Look at one cell",
        options,
        index=marks.index(True) if any(marks) else None,
        placeholder="Click one above, or choose it here",
        key=f"cell {chosen}",
    )
    if name is not None:
        cell(study, document, frame.iloc[options.index(name)], metric)


def _told(frame: pd.DataFrame) -> str:
    known = frame[(frame["state"] == KNOWN) & competing(frame)]
    if known.empty:
        return "Methods × attacks; no cell is complete yet"
    worst = known.sort_values("recovery").iloc[-1]
    return (
        f"Methods × attacks: recovery of {known['configuration'].nunique()} configurations under"
        f" {known['attack'].nunique()} attacks; the highest is {worst['recovery']:.2f},"
        f" {worst['configuration']} under {worst['label']}"
    )


def missing(study: str, frame: pd.DataFrame) -> None:
    """What is not complete: waiting by itself, or queued again by a button."""
    engine = reads.engine()
    if engine is None or not (frame["state"] == MISSING).any():
        return
    lacking = int((frame["cells_total"] - frame["cells_done"]).sum())
    record = database.study(engine, study)
    ended = database.study_runs_in(engine, record.id, ("failed", "cancelled")) if record else []
    st.caption(f"{lacking} attack cells are not complete.")
    label = f"Queue {len(ended)} failed or cancelled runs again"
    if len(ended) and st.button(label, key="queue_missing", **beyond("runner")):
        writes.retry(engine, ended)
        st.rerun()


def add_attack(study: str, document: dict[str, Any]) -> None:
    """Queue another attack on every model of the study, as a new revision; what exists is reused."""
    known = {attack["name"] for attack in document["attacks"]}
    others = [part for part in catalogue.parts("attacks") if part.name not in known]
    engine = reads.engine()
    record = database.study(engine, study) if engine else None
    if not others or record is None or engine is None or not record.document.get("source"):
        return
    with st.expander("Add an attack to this study"):
        labels = {part.label: part for part in others}
        part = labels[str(st.selectbox("Attack", list(labels), key="add_attack"))]
        st.caption(f"{part.summary} It {NOTES[part.declared['counts']]}. Source: {part.source}.")
        source = record.document["source"]
        with_it = {**source, "attacks": [*source.get("attacks", []), {"name": part.name}]}
        if not st.button("Queue it on every model", key="queue_attack", **beyond("runner")):
            return
        try:
            resolved = studies.resolve({"name": study, **with_it})
        except UserError as mistake:
            st.error(str(mistake))
            return
        submitted(resolved, engine)
        st.rerun()


def cell(study: str, document: dict[str, Any], row: pd.Series, metric: str) -> None:
    """One configuration under one attack: its numbers, its curve, its grid, its examples."""
    st.markdown(f"**{row['configuration']} under {row['label']}**")
    if row["reason"]:
        st.info(str(row["reason"]))
    columns = st.columns(6)
    columns[0].metric("Recovery", number(row["recovery"]))
    columns[1].metric("Raw, after", number(row["after"]))
    columns[2].metric(
        "Area under the curve", number(row["area"]), help="mean recovery along the attack"
    )
    steps = row["half_steps"]
    columns[3].metric(
        "Steps to half",
        DASH if pd.isna(steps) else f"{steps:.0f}",
        help="where every seed comes to one half",
    )
    examples_needed = row["half_examples"]
    columns[4].metric(
        "Examples to half",
        DASH
        if pd.isna(examples_needed)
        else "all"
        if examples_needed == 0
        else f"{examples_needed:.0f}",
        help="the fewest facts of the attack part that suffice, where the grid varies them",
    )
    columns[5].metric("Attacker's FLOPs", flops(row["flops"]), help="of the cell that counts")
    if row["worst_subject"]:
        st.caption(
            f"Most comes back of *{row['worst_subject']}*: {number(row['worst_subject_value'])}, against"
            f" {number(row['after'])} over all. The largest of many small means is high by chance alone."
        )
    curves = reads.curves(study)
    mine = curves[
        (curves["configuration"] == row["configuration"]) & (curves["attack"] == row["attack"])
    ]
    if len(mine) and mine["step"].nunique() > 1:
        st.altair_chart(
            quickly(cells_chart(mine, metric)), key="cell_curve", alt="Every cell of the grid"
        )
    elif len(mine):
        grid = mine.groupby("cell")[["validation", "score"]].mean().reset_index()
        st.dataframe(grid, hide_index=True, width="stretch")
    examples(document, row)


def examples(document: dict[str, Any], row: pd.Series) -> None:
    """Questions and answers of the run that counts for the first seed."""
    engine = reads.engine()
    found = next(r for r in document["rows"] if r["configuration"] == row["configuration"])
    run = found["attacks"][row["attack"]].get("run")
    if engine is None or run is None:
        return
    samples = database.samples(engine, int(run))
    if len(samples):
        st.markdown(f"##### {plain(_whence(document, found, row, int(run), samples))}")
        st.dataframe(
            samples[["category", "question", "expected", "answer", "correct"]],
            hide_index=True,
            width="stretch",
        )
    st.html(f'<a href="Runs?run={int(run)}" target="_self">run {int(run)}</a>')


def _whence(
    document: dict[str, Any], found: dict[str, Any], row: pd.Series, run: int, samples: pd.DataFrame
) -> str:
    """Which attack, seed and step the answers come from, and that the score is another step's where it is."""
    mine = (r for r in found["raw"] if r and r["cell"] and r["cell"]["run"] == run)
    one = next((r for r in mine if r["attack"] == row["attack"]), None)
    if one is None:
        return f"Answers after {row['label']}"
    steps, last = takes_steps(document, row["attack"]), int(samples["step"].max())
    held = {**one["cell"], "step": last}
    told = f"Answers after {row['label']}, seed {one['seed']}, {choice_words(held, steps)}"
    other = steps and last != one["cell"]["step"]
    return (
        f"{told} (the score that counts is that of step {one['cell']['step']})" if other else told
    )


def agreement(document: dict[str, Any]) -> None:
    """Do attacks, and seeds, rank the methods alike?"""
    found = document["attack_agreement"]
    labels = {attack["name"]: attack["label"] for attack in document["attacks"]}
    if not found["attacks"] and not found["seeds"]:
        return
    st.subheader("Do attacks agree on who is best?")
    st.caption(
        "Kendall's τ of the methods' ranking by recovery: 1 is the same order, −1 the reverse. A method's rank under one attack says"
        " little about another where τ is low."
    )
    columns = st.columns(2)
    pairs = pd.DataFrame(found["attacks"])
    if len(pairs):
        pairs[["one", "other"]] = pairs[["one", "other"]].map(lambda name: labels.get(name, name))
        columns[0].dataframe(pairs.sort_values("tau"), hide_index=True, width="stretch")
    seeds = pd.DataFrame(found["seeds"])
    if len(seeds):
        seeds["attack"] = seeds["attack"].map(lambda name: labels.get(name, name))
        columns[1].dataframe(seeds, hide_index=True, width="stretch")
