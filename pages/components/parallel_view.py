"""Parallel coordinates of the filtered configurations or runs, with the shared selection drawn strong."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from backend.anchors import competing
from backend.charts.parallel import parallel_chart
from backend.charts.theme import NAMES
from backend.configuration_names import configurations_of
from backend.frontier import frame as frame_of
from backend.parallel_axes import axis_of, varying, written
from db import reads as database
from db.reads.run_columns import METRIC
from pages.components import reads, selection
from pages.components.downloads import downloads
from pages.components.drawing import quickly
from pages.components.run_address import change, view_of
from pages.components.run_filter_field import filter_field, words
from pages.components.run_table import title
from pages.components.shown import DASH, named
from pages.components.synced import synced, taken

CONFIGURATIONS, RUNS = "Configurations", "Runs"
MOST_AXES, USUAL_AXES, MOST_RUNS = 8, 7, 300
# Results beside the objectives, under names that no parameter has.
MORE = {"seconds": "all seconds", "steps": "all steps", "hypervolume_contribution": "adds to the hypervolume", "front_probability": "probability of the front"}  # fmt: skip
RAW = ("forget_", "retain_")  # metrics as the frontier names them
OWN = ("seed", "seconds", "flops", "steps")


def parallel_view(engine: Engine) -> None:
    """The field of what to draw, the filter, the picture, and its twin."""
    given = RUNS if st.query_params.get("of") == RUNS else CONFIGURATIONS
    key = synced("runs_of", given)
    of = str(
        st.segmented_control(
            "Of",
            (CONFIGURATIONS, RUNS),
            default=given,
            required=True,
            key=key,
            on_change=taken(key, lambda of: change(of=of, axes=None)),
        )
    )
    if of == RUNS:
        conditions = filter_field(engine, view_of(st.query_params.to_dict()))
        frame, told, titles = _runs(engine, conditions)
        chosen = _runs_of_selection(engine, frame)
        _picture(frame, chosen, titles, told, "runs", "")
        return
    study = reads.choose_study("No study yet, so no configurations.")
    conditions = filter_field(engine, view_of(st.query_params.to_dict()))
    frame, told, titles = _configurations(engine, study, conditions)
    if frame.empty:
        st.info(told)
        return
    generation = st.session_state.setdefault("parallel_generation", 0)
    _take_over_click(study, f"parallel{generation}")
    chosen = selection.selected(study, frame["name"])
    _picture(frame, chosen, titles, told, f"{study}-parallel", f"parallel{generation}")
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    with left:
        selection.select_by_name(study, frame["name"], "Drawn strong")
    if chosen:
        right.button("Clear selection", on_click=_forget, args=(study,))


def _take_over_click(study: str, key: str) -> None:
    event = st.session_state.get(key, {})
    picked = [point["name"] for point in event.get("selection", {}).get("pick", [])]
    if picked and picked != st.session_state.get("seen_parallel"):
        st.session_state["seen_parallel"] = picked
        selection.select(study, picked)


def _forget(study: str) -> None:
    st.session_state["parallel_generation"] += 1
    st.session_state.pop("seen_parallel", None)
    selection.select(study, [])


def _configurations(
    engine: Engine, study: str, conditions: Sequence[database.Condition]
) -> tuple[pd.DataFrame, str, dict[str, str]]:
    """A row for each configuration that has a matching run: name, method, parameters, objectives, metrics."""
    document = reads.document(study)
    frame = frame_of(document)
    if frame.empty:
        return frame, reads.waits(), {}
    kept = set(_matching(engine, study, conditions))
    given = _parameters([row["stages"] for row in document["rows"]])
    parameters = pd.DataFrame(given, index=frame.index)
    results = [*NAMES, *MORE, *(name for row in document["rows"][:1] for name in row["metrics"])]
    about = frame[["configuration", "method"]].rename(columns={"configuration": "name"})
    measured = frame[[name for name in results if name in frame]].rename(columns=MORE)
    whole = pd.concat([about, parameters[[n for n in parameters if n not in measured]], measured], axis=1)  # fmt: skip
    shown = whole[whole["name"].isin(kept)].reset_index(drop=True)
    seeds = int(frame["seeds"].iloc[0])
    told = (
        f"{len(shown)} of {len(whole)} configurations of {study}; means over {seeds} seed{'s' * (seeds != 1)}; worst case over"
        f" {document['attack_grid_size']} attack cells, {document['budget']} steps; anchor: {document['anchor']}."
    )
    names = [str(name) for name in whole]
    titles = {name: NAMES.get(name, name.replace("_", " ")).capitalize() for name in names}
    return shown, told if len(shown) else "No configuration of this study has a run that matches.", titles  # fmt: skip


def _matching(engine: Engine, study: str, conditions: Sequence[database.Condition]) -> list[str]:
    """The configurations of a study that a matching run belongs to."""
    record = database.study(engine, study)
    assert record is not None
    if not conditions:
        return [str(one["label"]) for one in record.document["configurations"]]
    prints = database.model_fingerprints(engine, database.matching_ids(engine, conditions))
    return configurations_of(record.document, prints.values())


def _parameters(recipes: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The parameters of every recipe; one that several stages have is named with its stage, in every recipe."""
    where: dict[str, set[str]] = {}
    for stages in recipes:
        for stage in stages:
            for key in stage["parameters"]:
                where.setdefault(key, set()).add(stage["stage"])
    return [
        {
            f"{stage['stage']} {key}" if len(where[key]) > 1 else key: value
            for stage in stages
            for key, value in stage["parameters"].items()
        }
        for stages in recipes
    ]


def _runs(
    engine: Engine, conditions: Sequence[database.Condition]
) -> tuple[pd.DataFrame, str, dict[str, str]]:
    """A row for each of the first matching runs: name, method, parameters, what it took, metrics."""
    metrics = [name for name in words(engine).metrics if not name.endswith("@train")]
    columns = ("stage", "method", "seed", "parameters", "seconds", "flops", "steps", *metrics)
    found = database.run_page(engine, conditions, columns, "id", True, MOST_RUNS)
    rows = found.rows
    given = pd.DataFrame([values or {} for values in rows["parameters"]], index=rows.index)
    given = given.rename(columns={name: f"p.{name}" for name in given})
    about = [{"stage": s, "name": m} for s, m in zip(rows["stage"], rows["method"], strict=True)]
    names = [f"run {run}: {named(one)}" for run, one in zip(rows["id"], about, strict=True)]
    whole = pd.concat([rows.drop(columns="parameters"), given], axis=1).assign(name=names)
    told = f"{len(rows):,} of {found.matching:,} matching runs"
    told += ", the newest" if len(rows) < found.matching else ""
    order = ["id", "name", "method", "stage", *(str(name) for name in given), *OWN, *metrics]
    return whole[order], f"{told}.", {name: title(name) for name in order}


def _runs_of_selection(engine: Engine, frame: pd.DataFrame) -> list[str]:
    """The names of those drawn runs that belong to the configurations chosen on other pages."""
    wanted: set[str] = set()
    for study, labels in st.session_state.get(selection.HELD, {}).items():
        record = database.study(engine, study) if labels else None
        for one in record.document.get("configurations", []) if record else []:
            wanted |= set(one["runs"].values()) if one["label"] in labels else set()
    if not wanted or frame.empty:
        return []
    prints = database.model_fingerprints(engine, [int(run) for run in frame["id"]])
    return [name for run, name in zip(frame["id"], frame["name"], strict=True) if prints.get(int(run)) in wanted]  # fmt: skip


def _picture(
    frame: pd.DataFrame,
    chosen: Sequence[str],
    titles: dict[str, str],
    told: str,
    file: str,
    key: str,
) -> None:
    columns = [str(name) for name in frame if name not in ("id", "name", "method")]
    inner = frame[competing(frame)]  # these two have no parameters at all
    possible = varying(inner if len(inner) > 1 else frame, columns)
    if len(frame) < 2 or len(possible) < 2:
        st.info(f"{told} There is nothing to compare: at least two that differ in two things are needed.")  # fmt: skip
        return
    # What has one value where it has any is no usual axis: it tells no two lines apart that the method does not.
    usual = _usual([name for name in possible if frame[name].map(written).nunique() > 1 + frame[name].isna().any()])  # fmt: skip
    names = _axes_field(possible, usual if len(usual) > 1 else _usual(possible), titles)
    if len(names) < 2:
        st.info("Choose at least two axes.")
        return
    axes = [axis_of(name, frame[name].tolist()) for name in names]
    chart = parallel_chart(frame, axes, titles, chosen, reads.theme())
    words_of_it = f"Parallel coordinates of {len(frame)} {'configurations' if key else 'runs'} over {', '.join(titles.get(n, n) for n in names)}"  # fmt: skip
    if key:
        st.altair_chart(
            quickly(chart), on_select="rerun", selection_mode=["pick"], key=key, alt=words_of_it
        )
    else:
        st.altair_chart(quickly(chart), key="parallel_runs", alt=words_of_it)
    dropped = len(columns) - len(possible)
    st.caption(f"{told} Each axis runs from its smallest to its largest value; *none* below it is no value. {dropped} columns are left out, because they are the same in every line or name every line." + (" Click a point to draw its line strong." if key else ""))  # fmt: skip
    table = frame[["name", "method", *names]]
    downloads(chart, table, file, table=False)
    st.dataframe(table, hide_index=True, width="stretch", placeholder=DASH, column_config={"name": "Name", "method": "Method"} | {name: titles.get(name, name) for name in names})  # fmt: skip


def _axes_field(possible: Sequence[str], usual: list[str], titles: dict[str, str]) -> list[str]:
    """The axes, in the order in which they are chosen; in the address."""
    given = [name for name in st.query_params.get("axes", "").split(",") if name in possible]
    key = synced("runs_axes", given or usual)
    return list(
        st.multiselect(
            "Axes",
            possible,
            default=given or usual,
            key=key,
            format_func=lambda name: titles.get(name, name),
            max_selections=MOST_AXES,
            on_change=taken(key, lambda axes: change(axes=",".join(axes))),
        )
    )


def _usual(possible: Sequence[str]) -> list[str]:
    """What was set, then the results: the objectives, or what was scored before any attack."""
    results = [name for name in possible if name in NAMES or name.endswith("_score")][:4]
    others = [name for name in possible if name not in (*NAMES, *MORE.values()) and METRIC not in name and not name.startswith(RAW)]  # fmt: skip
    return [*others[: USUAL_AXES - len(results)], *results]
