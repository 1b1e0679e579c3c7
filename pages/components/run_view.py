"""One run: what came out, curves, answers, configuration, evidence, events."""

import html
import json
from typing import Any

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from backend.charts.training import category_chart, loss_chart
from db import reads
from pages.components import outlook, shown
from pages.components.machine_view import while_it_ran
from pages.components.run_log_view import log_tab
from pages.components.run_marks import note_tab, standing, tags_line

COLOURS = {"complete": "green", "running": "blue", "failed": "red"}
MOST_CHILDREN = 60


def link(run_id: int, text: str) -> str:
    """A plain link to a run: the browser's Back brings this view back."""
    return f'<a href="Runs?run={int(run_id)}" target="_self">{html.escape(text)}</a>'


def run_view(engine: Engine, run: dict[str, Any]) -> None:
    """Everything about a run, most wanted first."""
    st.header(f"Run {run['id']}: {shown.named(run)}, seed {run['seed']}")
    st.markdown(f":{COLOURS.get(run['state'], 'gray')}[**{shown.state(run)}**]")
    standing(engine, run)
    if run["note"]:
        st.text(run["note"])
    _progress(run)
    _problem(run)
    children = _children(engine, run)
    _lineage(engine, run, children)
    tags_line(engine, run["id"])
    st.html(f'<a href="Launch?clone={int(run["id"])}" target="_self">Clone into Launch</a>')
    measured = reads.measurements(engine, run_ids=[run["id"]], category=None)
    titles = ["Results", "Curves", "Answers", "Configuration", "Evidence", "Log", "Events", "Note"]
    results, curves, answers, configuration, evidence, log, events, note = st.tabs(titles)
    with results:
        _results(engine, measured, children)
    with answers:
        _answers(engine, run, children)
    with configuration:
        if run["chosen"]:
            _search(run["chosen"])
        st.code(json.dumps(run["parameters"], indent=1, ensure_ascii=False), language="json")
        st.caption("Setting")
        st.code(json.dumps(run["setting"], indent=1, ensure_ascii=False), language="json")
    with evidence:
        _evidence(engine, run)
    with log:
        log_tab(engine, run)
    with events:
        _events(engine, run["id"])
    with note:
        note_tab(engine, run["id"])
    with curves:  # last, since a forecast may take seconds
        _curves(engine, run, measured)


def _search(chosen: dict[str, Any]) -> None:
    """What every trial of the run's search scored on validation data, the winner marked."""
    st.caption("The search's trials, on validation data; the winner was trained for this run.")
    rows = [
        {
            "winner": "●" if trial["parameters"] == chosen["parameters"] else "",
            **trial["parameters"],
            "utility": trial["utility"],
            "forget": trial["forget"],
        }
        for trial in chosen["trials"]
    ]
    st.dataframe(rows, hide_index=True, width="stretch")


def _progress(run: dict[str, Any]) -> None:
    if run["state"] == "running" and run["step"] is not None and run["steps_total"]:
        told = f"step {run['step']} of {run['steps_total']} {run['message'] or ''}"
        st.progress(min(1.0, run["step"] / run["steps_total"]), text=told)
    if run["state"] == "waiting" and run["blocked_by"]:
        blocker = int(run["blocked_by"])
        st.html(f"<div>It waits for a retry of {link(blocker, f'run {blocker}')}.</div>")


def _problem(run: dict[str, Any]) -> None:
    if run["error"]:
        st.error(shown.plain(run["error"]))
    if run["traceback"]:
        with st.expander("Traceback"):
            st.code(run["traceback"], language=None)


def _children(engine: Engine, run: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs that start from this one, in their own order."""
    found = (reads.run(engine, int(child)) for child in run["children"][:MOST_CHILDREN])
    return [child for child in found if child is not None]


def _lineage(engine: Engine, run: dict[str, Any], children: list[dict[str, Any]]) -> None:
    """Where the run comes from, down from the base, and what was made of it."""
    above: list[str] = []
    parent = run["parent"]
    while parent:
        above.insert(0, link(parent["id"], f"{shown.named(parent)} {parent['id']}"))
        parent = (reads.run(engine, parent["id"]) or {}).get("parent")
    lines = [("Made from", " → ".join(above) or "nothing: training starts here")]
    for role, given in run["inputs"].items():
        lines.append((role.capitalize(), ", ".join(link(i, f"run {i}") for i, _ in given)))
    groups: dict[str, list[str]] = {}
    for child in children:
        sign = "" if child["state"] == "complete" else f" ({child['state']})"
        groups.setdefault(shown.named(child), []).append(
            link(child["id"], str(child["id"])) + html.escape(sign)
        )
    lines += [(name, " · ".join(found)) for name, found in groups.items()]
    if len(run["children"]) > MOST_CHILDREN:
        lines.append(("And", f"{len(run['children']) - MOST_CHILDREN} more"))
    body = "".join(f"<div><b>{html.escape(name)}</b>: {text}</div>" for name, text in lines)
    st.html(body)


def _results(engine: Engine, measured: pd.DataFrame, children: list[dict[str, Any]]) -> None:
    scored = measured[measured["split"].str.contains("score|validation")]
    looks = [c["id"] for c in children if c["stage"] == "evaluate" and c["state"] == "complete"]
    if not scored["split"].str.endswith("_score").any() and looks:
        st.caption(f"From its evaluation, run {looks[0]}, before any attack.")
        measured = reads.measurements(engine, run_ids=looks[:1], category=None)
        scored = measured[measured["split"].str.contains("score|validation")]
    if scored.empty:  # what others report is told of the model itself
        scored = measured[measured["split"] == "model"]
    if scored.empty:
        st.info("Nothing was measured yet.")
        return
    last = scored[scored["step"] == scored["step"].max()]
    for metric, figures in last[last["category"] != ""].groupby("metric"):
        figures = figures[figures["split"].str.endswith("_score")]
        if len(figures):
            st.caption(f"{metric} by kind of item, after step {int(figures['step'].max())}")
            chart = category_chart(figures)
            st.altair_chart(chart, key=f"kinds-{metric}", alt=f"{metric} by kind of item")
    total = last[last["category"] == ""]
    columns = ["metric", "split", "step", "value", "standard_error", "items"]
    numbers: dict[str, Any] = {
        "value": st.column_config.NumberColumn(format="%.4f"),
        "standard_error": st.column_config.NumberColumn("standard error", format="%.4f"),
    }
    st.dataframe(
        total[columns],
        hide_index=True,
        width="stretch",
        placeholder=shown.DASH,
        column_config=numbers,
    )


def _curves(engine: Engine, run: dict[str, Any], measured: pd.DataFrame) -> None:
    plain = measured[measured["category"] == ""]
    several = plain.groupby(["metric", "split"])["step"].transform("nunique") > 1
    if not several.any():
        st.info("This run left no curve.")
        return
    for split, curves in plain[several].groupby("split"):
        st.caption(str(split).replace("_", " "))
        if split == "train":
            outlook.training(engine, run, curves)
        else:
            st.altair_chart(loss_chart(curves), key=f"curve-{split}", alt=f"Curves on {split}")


def _answers(engine: Engine, run: dict[str, Any], children: list[dict[str, Any]]) -> None:
    """Answers before and after an attack; text, never markup."""
    if run["stage"] == "attack":
        before, after = _evaluation_of(engine, run), reads.samples(engine, run["id"])
    else:
        looks = [c["id"] for c in children if c["stage"] == "evaluate"]
        before = reads.samples(engine, looks[0] if looks else run["id"])
        after = _after_chosen_attack(engine, children)
    table = _beside(before, after)
    if table.empty:
        st.info("No answers were kept; evaluations and attacks keep some.")
        return
    st.dataframe(table, hide_index=True, width="stretch", placeholder=shown.DASH)


def _after_chosen_attack(engine: Engine, children: list[dict[str, Any]]) -> pd.DataFrame:
    done = {c["id"]: c for c in children if c["stage"] == "attack" and c["state"] == "complete"}
    if not done:
        return pd.DataFrame()
    chosen = st.selectbox(
        "After the attack", list(done), format_func=lambda run_id: _cell_name(done[run_id])
    )
    return reads.samples(engine, int(chosen))


def _cell_name(run: dict[str, Any]) -> str:
    rate = run["parameters"].get("learning_rate")
    cell = f", learning rate {rate:g}" if isinstance(rate, float) else ""
    return f"run {run['id']}: {run['name']}{cell}"


def _evaluation_of(engine: Engine, run: dict[str, Any]) -> pd.DataFrame:
    model = reads.run(engine, run["parent"]["id"]) if run["parent"] else None
    looks = [c["id"] for c in _children(engine, model) if c["stage"] == "evaluate"] if model else []
    return reads.samples(engine, looks[0]) if looks else pd.DataFrame()


def _beside(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """One row a question: expected, the answer before, the answer after, each with its verdict."""
    key = ["split", "item", "category", "question", "expected"]
    parts: list[Any] = []
    for name, found in (("before", before), ("after the attack", after)):
        if len(found):
            last = found[found["step"] == found.groupby("split")["step"].transform("max")]
            verdict = last["correct"].map({True: "✓", False: "✗"}).fillna("")
            last = last.assign(**{name: last["answer"].astype(str) + " " + verdict})
            parts.append(last.set_index(key)[[name]])
    if not parts:
        return pd.DataFrame()
    joined = parts[0].join(parts[1:], how="outer") if len(parts) > 1 else parts[0]
    return joined.fillna(shown.DASH).reset_index().drop(columns="item")


def _evidence(engine: Engine, run: dict[str, Any]) -> None:
    columns = st.columns(5)
    columns[0].metric("FLOPs", shown.flops(run["flops"]))
    columns[1].metric("Time", shown.seconds(run["seconds"]))
    columns[2].metric("Steps", shown.whole(run["steps"]))
    columns[3].metric("Tokens", shown.whole(run["tokens"]))
    columns[4].metric("Peak memory", shown.size(run["peak_memory"]))
    about = ("fingerprint", "version", "precision", "seed", "attempt", "worker_id", "origin")
    facts = {key.replace("_", " "): run[key] for key in about}
    facts["content hash of the data"] = run["setting"].get("content_hash")
    times = ("created_at", "started_at", "finished_at")
    facts |= {key.removesuffix("_at"): shown.moment(run[key]) for key in times}
    facts |= {key.replace("_", " "): value for key, value in (run["environment"] or {}).items()}
    told = [shown.DASH if shown.missing(value) else str(value) for value in facts.values()]
    table = pd.DataFrame({"What": list(facts), "Value": told})
    st.dataframe(
        table, hide_index=True, width="stretch", placeholder=shown.DASH, height=38 + 35 * len(table)
    )
    files = reads.artifacts(engine, run["id"])
    if len(files):
        st.caption("Files, in the data directory")
        files = files.assign(bytes=files["bytes"].map(shown.size))
        st.dataframe(files, hide_index=True, width="stretch", placeholder=shown.DASH)
    if "model" in set(files["kind"]):
        st.caption("As a folder that transformers opens, with tokenizer and model card:")
        st.code(f"python -m backend export-model {run['id']} --to FOLDER", language="bash")
    while_it_ran(engine, run)


def _events(engine: Engine, run_id: int) -> None:
    found = reads.events(engine, run_id)[["created_at", "kind", "text", "worker_id"]]
    names: dict[str, Any] = {
        "created_at": st.column_config.DatetimeColumn("When"),
        "kind": "What",
        "text": "More",
    }
    st.dataframe(
        found, hide_index=True, width="stretch", placeholder=shown.DASH, column_config=names
    )
