"""One run: curves, configuration, lineage, answers, figures, evidence."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from backend.charts.training import category_chart, loss_chart
from db import reads
from pages.components.reads import number

STATE_SIGNS = {
    "waiting": "⏳ waiting",
    "running": "▶️ running",
    "complete": "✅ complete",
    "failed": "❌ failed",
    "cancelled": "🚫 cancelled",
    "lost": "⚠️ lost",
}


def link(run_id: int, text: str) -> str:
    """A plain link to a run: the browser's Back brings this view back."""
    return f'<a href="Runs?run={int(run_id)}" target="_self">{text}</a>'


def run_view(engine: Engine, run: dict[str, Any]) -> None:
    """Everything about a run, most wanted first."""
    name = run["name"] if run["name"] == run["stage"] else f"{run['stage']} · {run['name']}"
    st.header(f"Run {run['id']}: {name}, seed {run['seed']}")
    state = STATE_SIGNS[run["state"]]
    if run["state"] == "waiting" and run["blocked_by"]:
        state = f"⛔ blocked by run {run['blocked_by']}"
    st.markdown(f"**{state}**" + (f" · {run['note']}" if run["note"] else ""))
    _problem(run)
    _lineage(engine, run)
    st.html(f'<a href="Launch?clone={int(run["id"])}" target="_self">Clone into Launch</a>')
    measured = reads.measurements(engine, run_ids=[run["id"]], category=None)
    titles = ["Results", "Curves", "Answers", "Configuration", "Evidence", "Events"]
    results, curves, answers, configuration, evidence, events = st.tabs(titles)
    with results:
        _results(measured)
    with curves:
        _curves(measured)
    with answers:
        _answers(engine, run)
    with configuration:
        st.code(json.dumps(run["parameters"], indent=1, ensure_ascii=False), language="json")
        st.caption("Setting")
        st.code(json.dumps(run["setting"], indent=1, ensure_ascii=False), language="json")
    with evidence:
        _evidence(engine, run)
    with events:
        st.dataframe(reads.events(engine, run["id"]), hide_index=True, width="stretch")


def _problem(run: dict[str, Any]) -> None:
    if run["error"]:
        st.error(run["error"])
    if run["traceback"]:
        with st.expander("Traceback"):
            st.code(run["traceback"], language="text")


def _lineage(engine: Engine, run: dict[str, Any]) -> None:
    parts = []
    if run["parent"]:
        parent = run["parent"]
        parts.append(f"Made from {link(parent['id'], parent['name'])}")
    for role, given in run["inputs"].items():
        parts += [f"{role}: {link(input_id, f'run {input_id}')}" for input_id, _ in given]
    below = [link(child, f"run {child}") for child in run["children"]]
    if below:
        parts.append("Leads to " + ", ".join(below[:24]) + (" …" if len(below) > 24 else ""))
    st.html("<div>" + " · ".join(parts) + "</div>" if parts else "<div>Starts from nothing.</div>")


def _results(measured: pd.DataFrame) -> None:
    scored = measured[measured["split"].str.contains("score|validation")]
    if scored.empty:
        st.info("This run measured no split; see the evaluation among the runs it leads to.")
        return
    last = scored[scored["step"] == scored["step"].max()]
    total = last[last["category"] == ""]
    columns = ["metric", "split", "step", "value", "standard_error", "items"]
    st.dataframe(total[columns], hide_index=True, width="stretch")
    kinds = last[(last["category"] != "") & last["split"].str.endswith("_score")]
    for metric, figures in kinds.groupby("metric"):
        st.caption(f"{metric} by kind of item, at step {int(figures['step'].max())}")
        st.altair_chart(
            category_chart(figures), key=f"kinds-{metric}", alt=f"{metric} by kind of item"
        )


def _curves(measured: pd.DataFrame) -> None:
    plain = measured[measured["category"] == ""]
    for split, curves in plain.groupby("split"):
        moving = curves[curves.groupby("metric")["step"].transform("nunique") > 1]
        if len(moving):
            st.caption(str(split))
            st.altair_chart(loss_chart(moving), key=f"curve-{split}", alt=f"Curves on {split}")
    if plain.groupby(["metric", "split"])["step"].nunique().max() in (0, 1):
        st.info("This run left no curve.")


def _answers(engine: Engine, run: dict[str, Any]) -> None:
    """Answers of this run beside those of its model before the attack; text, never markup."""
    mine = reads.samples(engine, run["id"])
    if mine.empty:
        st.info("This run kept no answers; evaluations and attacks do.")
        return
    shown = mine[["split", "category", "question", "expected", "answer", "correct"]]
    before = _before(engine, run)
    if before is not None:
        keys = ["split", "item"]
        joined = mine.merge(
            before[[*keys, "answer"]], on=keys, how="left", suffixes=("", " before")
        )
        columns = [
            "split",
            "category",
            "question",
            "expected",
            "answer before",
            "answer",
            "correct",
        ]
        shown = joined[columns].rename(columns={"answer": "answer after the attack"})
    st.dataframe(shown, hide_index=True, width="stretch")


def _before(engine: Engine, run: dict[str, Any]) -> pd.DataFrame | None:
    if run["stage"] != "attack" or not run["parent"]:
        return None
    parent = reads.run(engine, run["parent"]["id"])
    looks = [
        child["id"] for child in (parent or {}).get("children", []) if child["stage"] == "evaluate"
    ]
    found = reads.samples(engine, looks[0]) if looks else None
    return found if found is not None and len(found) else None


def _evidence(engine: Engine, run: dict[str, Any]) -> None:
    columns = st.columns(4)
    columns[0].metric("FLOPs", "–" if run["flops"] is None else f"{run['flops']:.3g}")
    columns[1].metric("Seconds", number(run["seconds"], 1))
    columns[2].metric("Steps", run["steps"] if run["steps"] is not None else "–")
    memory = run["peak_memory"]
    columns[3].metric("Peak memory", "–" if memory is None else f"{memory / 1e6:.0f} MB")
    about: Sequence[str] = ("fingerprint", "version", "precision", "seed", "attempt", "worker_id")
    facts = {key: run[key] for key in (*about, "created_at", "started_at", "finished_at")}
    facts |= run["environment"] or {}
    table = pd.DataFrame({"what": list(facts), "value": [str(value) for value in facts.values()]})
    st.dataframe(table, hide_index=True, width="stretch")
    files = reads.artifacts(engine, run["id"])
    if len(files):
        st.caption("Files")
        st.dataframe(files, hide_index=True, width="stretch")
