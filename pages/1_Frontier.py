"""Which unlearning lasts, and what does it cost?"""

import app

app.guard()

from typing import Any  # noqa: E402

import pandas as pd  # noqa: E402
import streamlit as st  # noqa: E402

from backend.charts.frontier import caption, frontier_chart, told_apart  # noqa: E402
from backend.charts.labels import labels_chart, series  # noqa: E402
from backend.charts.theme import NAMES  # noqa: E402
from backend.frontier import frame as frame_of  # noqa: E402
from db import reads as database  # noqa: E402
from pages.components import reads  # noqa: E402
from pages.components.defined import definition_links  # noqa: E402
from pages.components.downloads import downloads  # noqa: E402
from pages.components.shown import DASH, number  # noqa: E402
from pages.components.why import why  # noqa: E402

OBJECTIVES = list(NAMES)

TITLES: dict[str, Any] = {
    "configuration": st.column_config.TextColumn("Configuration", width="medium"),
    "front": st.column_config.TextColumn(
        "Front", help="non-dominated in robust forget quality, utility and compute"
    ),
    "front_probability": st.column_config.NumberColumn(
        "On the front",
        format="percent",
        help="share of resampled seeds in which nothing dominates it",
    ),
    "hypervolume_contribution": st.column_config.NumberColumn(
        "Adds", format="%.3f", help="hypervolume that the front loses without it"
    ),
    "cells": "Attack cells",
    "lowest_utility": st.column_config.NumberColumn(
        "Lowest utility", format="%.3f", help="while the suppression went on, validation data"
    ),
    "search_flops": st.column_config.NumberColumn(
        "Search FLOPs", format="%.1e", help="all trials; not part of compute"
    ),
    "inference_overhead": st.column_config.NumberColumn(
        "Inference", format="%.2f ×", help="FLOPs of a pass over those of the base's"
    ),
    "badges": "Badges",
    "worst_attack": "Worst attack",
    "weak_evidence": "Weak evidence",
}


def objectives(largest: int) -> tuple[str, str, str, int]:
    """The axes, the size and the budget, all in the address."""
    columns = st.columns(4)
    x, y, size = (
        column.selectbox(
            label,
            OBJECTIVES,
            index=OBJECTIVES.index(default),
            key=key,
            bind="query-params",
            format_func=lambda name: NAMES[name].capitalize(),
        )
        for column, label, default, key in zip(
            columns,
            ("Across", "Up", "Size"),
            ("utility", "robust_forget_quality", "compute"),
            ("x", "y", "size"),
            strict=False,
        )
    )
    with columns[3]:
        budget = st.slider(
            "Attack steps",
            0,
            max(largest, 1),
            largest,
            key="budget",
            bind="query-params",
            help="The attacker may stop at any evaluated step up to this one.",
        )
    return x, y, size, min(budget, largest)


def headline(document: dict, frame: pd.DataFrame) -> None:
    """Four numbers that say what the study holds."""
    total, done = int(frame["cells_total"].sum()), int(frame["cells_done"].sum())
    columns = st.columns(4)
    columns[0].metric("Configurations", len(frame) - 2, help="base and oracle apart")
    columns[1].metric("Attack cells", f"{done} of {total}")
    columns[2].metric("Seeds", int(frame["seeds"].iloc[0]))
    columns[3].metric(
        "Hypervolume",
        number(document["reference"]["hypervolume"]),
        help="of robust forget quality, utility and compute, from the reference point (0, 0, 1)",
    )


def selection(generation: int) -> list[str]:
    """The chosen configurations: those in the address, or the ones that were just clicked."""
    event = st.session_state.get(f"frontier{generation}", {})
    picked = [point["configuration"] for point in event.get("selection", {}).get("pick", [])]
    if picked and picked != st.session_state.get("seen_pick"):
        st.session_state["seen_pick"] = picked
        st.query_params["pick"] = picked
    return st.query_params.get_all("pick")


def forget_selection() -> None:
    """Clear what was picked; a new key gives a chart without a selection."""
    st.session_state["generation"] = st.session_state.get("generation", 0) + 1
    st.session_state.pop("seen_pick", None)
    st.query_params.pop("pick", None)


def table(frame: pd.DataFrame) -> None:
    """The chart's twin for readers and screen readers."""
    cells = frame["cells_done"].astype(str) + " of " + frame["cells_total"].astype(str)
    front = ["●" if found is True else "" for found in frame["on_front"]]
    so_far = [] if frame["complete"].all() else ["robust_so_far"]
    told = [
        name
        for name in (
            "front_probability",
            "hypervolume_contribution",
            "lowest_utility",
            "search_flops",
        )
        if frame[name].fillna(0).any()
    ]
    told += ["inference_overhead"] if (frame["inference_overhead"].fillna(1) > 1).any() else []
    told += ["badges"] if frame["badges"].astype(bool).any() else []
    columns = ["configuration", "front", *OBJECTIVES, *so_far, "cells", "worst_attack", *told]
    names = frame["configuration"].map(told_apart(frame["configuration"]))
    shown = frame.assign(cells=cells, front=front, configuration=names)[[*columns, "weak_evidence"]]
    short = {name: NAMES[name].removesuffix(" forget quality").capitalize() for name in NAMES}
    numbers = {
        name: st.column_config.NumberColumn(title, format="%.3f", help=NAMES.get(name))
        for name, title in {**short, "robust_so_far": "Robust so far"}.items()
    }
    st.dataframe(
        shown,
        hide_index=True,
        column_config={**TITLES, **numbers},
        width="stretch",
        height=40 + 35 * len(shown),
        placeholder=DASH,
    )


def page() -> None:
    """Controls, picture, reason, table."""
    st.title("Frontier")
    st.markdown(
        "**Which unlearning lasts, and what does it cost?** Up is forgetting that lasts, right is usefulness that stays, small is cheap."
    )
    study = reads.choose_study(
        "No study yet. The quick study takes a few minutes on two CPU cores."
    )
    reads.watch(database.finished_version)
    whole = reads.document(study)
    largest = max((attack["steps"] for attack in whole["attacks"]), default=0)
    x, y, size, budget = objectives(largest)
    document = reads.document(study, budget if budget < largest else None)
    frame = frame_of(document)
    if frame.empty:
        st.info("The study waits. Start a worker on the Jobs page, or `python -m backend work`.")
        st.stop()
    headline(document, frame)
    generation = st.session_state.get("generation", 0)
    chosen = [name for name in selection(generation) if name in set(frame["configuration"])]
    chart = frontier_chart(frame, x, y, size, chosen, reads.theme())
    told = caption(frame)
    st.altair_chart(
        chart, on_select="rerun", selection_mode=["pick"], key=f"frontier{generation}", alt=told
    )
    st.markdown(told)
    seeds = int(frame["seeds"].iloc[0])
    st.caption(
        f"{document['setting']}; {seeds} seed{'s' if seeds != 1 else ''}; worst case over"
        f" {document['attack_grid_size']} attack cells, {document['budget']} steps; hollow points"
        f" lack attack cells; anchor: {document['anchor']}. The dashed line bounds what is dominated"
        " in the two objectives shown. Click a point to see why it is there."
    )
    definition_links((x, y, size))
    downloads(chart, frame, f"{study}-frontier")
    pick_by_name(frame, chosen)
    for row in document["rows"]:
        if row["configuration"] in chosen:
            with st.container(border=True):
                why(row, document)
    labels(frame, y, study)
    st.subheader("All configurations")
    table(frame)


def labels(frame: pd.DataFrame, y: str, study: str) -> None:
    """Where recipes are there with several label fractions: the chosen objective over them."""
    if series(frame).empty:
        return
    st.subheader("How many labels does it need?")
    chart = labels_chart(frame, y, reads.theme())
    st.altair_chart(chart, alt=f"{NAMES[y].capitalize()} by the share of labelled forget items")
    downloads(chart, series(frame), f"{study}-labels")


def pick_by_name(frame: pd.DataFrame, chosen: list[str]) -> None:
    """The keyboard's way to a point."""
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    named = left.multiselect(
        "Why is it there?",
        frame["configuration"],
        default=chosen,
        placeholder="Choose configurations",
        key=f"by_name {chosen}",  # another selection, by a click say, is another widget
    )
    if named != chosen:
        st.query_params["pick"] = named
        st.rerun()
    if chosen:
        right.button("Clear selection", on_click=forget_selection)


page()
