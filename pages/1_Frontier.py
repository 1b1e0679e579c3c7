"""Which unlearning lasts, and what does it cost?"""

import app

app.guard()

from collections.abc import Mapping  # noqa: E402
from typing import Any  # noqa: E402

import pandas as pd  # noqa: E402
import streamlit as st  # noqa: E402

from backend.anchors import competing  # noqa: E402
from backend.charts.attainment import bands as bands_of  # noqa: E402
from backend.charts.axes import OBJECTIVES, Axis, axes_of  # noqa: E402
from backend.charts.captions import caption, told_in_two  # noqa: E402
from backend.charts.families import order_of  # noqa: E402
from backend.charts.frontier import coloured, drawn, frontier_chart  # noqa: E402
from backend.charts.labels import labels_chart, series  # noqa: E402
from backend.charts.panels import coloured as coloured_in_panels  # noqa: E402
from backend.charts.panels import panels_chart  # noqa: E402
from backend.charts.staircase import domain, groups  # noqa: E402
from backend.charts.volumes import volumes_chart, volumes_frame  # noqa: E402
from backend.front import method_volumes  # noqa: E402
from backend.frontier import frame as frame_of  # noqa: E402
from backend.limits import Limits, feasible, told  # noqa: E402
from db import reads as database  # noqa: E402
from pages.components import reads, selection  # noqa: E402
from pages.components.comfort import tour  # noqa: E402
from pages.components.defined import definition_links  # noqa: E402
from pages.components.downloads import downloads  # noqa: E402
from pages.components.drawing import later, quickly  # noqa: E402
from pages.components.frontier_controls import View, limits, view  # noqa: E402
from pages.components.frontier_table import table  # noqa: E402
from pages.components.leads import lead_on  # noqa: E402
from pages.components.reporting import add_to_report  # noqa: E402
from pages.components.shown import number  # noqa: E402
from pages.components.why import why  # noqa: E402


def headline(document: dict, frame: pd.DataFrame) -> None:
    """Four numbers that say what the study holds."""
    total, done = int(frame["cells_total"].sum()), int(frame["cells_done"].sum())
    anchors = int((~competing(frame)).sum())
    columns = st.columns(4)
    columns[0].metric("Configurations", len(frame) - anchors, help="base and oracle apart")
    columns[1].metric("Attack cells", f"{done} of {total}")
    columns[2].metric("Seeds", int(frame["seeds"].iloc[0]))
    columns[3].metric(
        "Hypervolume",
        number(document["reference"]["hypervolume"]),
        help="of robust forget quality, utility and compute, from the reference point (0, 0, 1)",
    )


def pointed(study: str, frame: pd.DataFrame, key: str) -> None:
    """Take over what was just clicked or framed in a chart, before the picture is drawn."""
    event = st.session_state.get(key, {}).get("selection", {})
    seen = st.session_state.get(f"{key} seen", {})
    st.session_state[f"{key} seen"] = dict(event)
    picked = [point["configuration"] for point in event.get("pick", [])]
    if picked and event.get("pick") != seen.get("pick"):
        selection.select(study, picked)
        return
    for name in ("brush", "box"):
        ranges = event.get(name) or {}
        if ranges and ranges != seen.get(name):
            selection.select(study, _within(frame, ranges))


def _within(frame: pd.DataFrame, ranges: Mapping[str, list[float]]) -> list[str]:
    """The configurations inside a frame that was drawn, references apart."""
    inside = competing(frame)
    for name, ends in ranges.items():
        if name in frame:
            inside &= pd.to_numeric(frame[name]).between(min(ends), max(ends))
    return list(frame.loc[inside, "configuration"])


def forget_selection(study: str) -> None:
    """Clear what was picked; a new key gives a chart without a selection."""
    st.session_state["generation"] = st.session_state.get("generation", 0) + 1
    selection.select(study, [])


def page() -> None:
    """Controls, picture, reason, table."""
    st.title("Frontier")
    st.markdown(
        "**Which unlearning lasts, and what does it cost?** Up is forgetting that lasts, right is usefulness that stays, small is cheap."
    )
    tour(reads.engine())
    study = reads.choose_study(
        "No study yet. The quick study takes a few minutes on two CPU cores."
    )
    reads.watch(database.finished_version)
    whole = reads.document(study)
    if not whole["rows"]:
        reads.study_waits()
    axes = axes_of(whole) or OBJECTIVES
    asked = view(axes, max((attack["steps"] for attack in whole["attacks"]), default=0))
    document = reads.document(study, asked.budget if asked.budget < whole["budget"] else None)
    frame = frame_of(document)
    # Colours are those of the whole attack, so that fewer steps change places and no colour.
    order = order_of(frame if document is whole else frame_of(whole))
    headline(document, frame)
    bounds = limits(frame)
    generation = st.session_state.get("generation", 0)
    pointed(study, frame, f"frontier{generation}")
    pointed(study, frame, f"panels{generation}")
    chosen = selection.selected(study, frame["configuration"])
    lead_on(study, chosen, "Frontier")
    picture(study, document, frame, axes, asked, bounds, chosen, order)
    pick_by_name(study, frame)
    for row in document["rows"]:
        if row["configuration"] in chosen:
            with st.container(border=True):
                why(row, document)
    two_at_a_time(study, frame, axes, asked, chosen, order)
    volumes(study, document)
    labels(frame, asked.y, study, document)
    listed(study, frame, axes, asked, bounds)


def picture(
    study: str,
    document: dict[str, Any],
    frame: pd.DataFrame,
    axes: Mapping[str, Axis],
    asked: View,
    bounds: Limits,
    chosen: list[str],
    order: list[str],
) -> None:
    """The chart, what it says in words, its downloads."""
    x, y = asked.x, asked.y
    shown = drawn(frame, x, y, asked.size)
    edges = (domain(shown, x), domain(shown, y))
    bands = bands_of(document["rows"], x, y, *edges, axes=axes) if asked.bands else None
    placed = {"axes": axes, "limits": bounds}
    methods = coloured(frame, x, y, asked.size, chosen, **placed, order=order)
    options = {**placed, "bands": bands, "methods": methods}
    chart = frontier_chart(
        frame, x, y, asked.size, chosen, reads.theme(), interactive=True, **options
    )
    words = [caption(frame), told_in_two(frame, x, y, axes), told(frame, bounds), methods.told()]
    words += ["No method has a band: it takes two configurations and two seeds."] if asked.bands and (bands is None or bands.empty) else []  # fmt: skip
    said = " ".join(word for word in words if word)
    st.markdown(said)
    generation = st.session_state.get("generation", 0)
    st.altair_chart(
        quickly(chart),
        on_select="rerun",
        selection_mode=["pick", "brush"],
        key=f"frontier{generation}",
        alt=said,
    )
    st.caption(_evidence(document, frame))
    definition_links((x, y, asked.size))
    plain = later(lambda: frontier_chart(frame, x, y, asked.size, chosen, **options))
    downloads(plain, frame, f"{study}-frontier", caption=said, document=document)
    add_to_report(
        "chart",
        f"Frontier of {study}",
        lambda: {
            "spec": plain.to_dict(),
            "data": frame.to_dict("records"),
            "caption": said,
            "study": study,
            "revision": document["revision"],
            "runs": [model for row in document["rows"] for model in row["models"] if model],
            "address": str(st.context.url or ""),
        },
        key="report-frontier",
    )


def _evidence(document: dict[str, Any], frame: pd.DataFrame) -> str:
    seeds = int(frame["seeds"].iloc[0])
    words = f"{document['setting']}; {seeds} seed{'s' if seeds != 1 else ''}"
    if document["attack_grid_size"]:
        words += (
            f"; worst case over {document['attack_grid_size']} attack cells, {document['budget']} steps;"
            f" hollow points lack attack cells; anchor: {document['anchor']}"
        )
    if frame["configuration"].str.contains("best of ", regex=False).any():
        words += "; *best of N* in a name: the best of N search trials, chosen on validation data"
    if "imported" in set(frame["origin"]):
        words += "; *not run here*: others' results, as they report them"
    words += ". The dashed line bounds what is dominated in the two objectives shown."
    return f"{words} Click a point to see why it is there; Shift and click, or drag, to choose several."


def listed(
    study: str, frame: pd.DataFrame, axes: Mapping[str, Axis], asked: View, bounds: Limits
) -> None:
    """The table of what keeps the limits, with the references; a tick chooses as a click on a point does."""
    kept = frame[feasible(frame, bounds) | ~competing(frame)]
    st.subheader("All configurations" if len(kept) == len(frame) else "What keeps the limits")
    if len(kept) < len(frame):
        st.caption(f"{len(frame) - len(kept)} configurations do not keep them and are left out.")
    st.caption("Tick rows to choose them.")
    key = f"table{st.session_state.get('generation', 0)} {len(kept)}"
    ticked = table(kept.reset_index(drop=True), axes, (asked.x, asked.y, asked.size), key)
    if ticked:
        selection.select(study, ticked)
        st.rerun()


def two_at_a_time(
    study: str,
    frame: pd.DataFrame,
    axes: Mapping[str, Axis],
    asked: View,
    chosen: list[str],
    order: list[str],
) -> None:
    """The three objectives of the view in three panels that mark the same configurations."""
    names = list(dict.fromkeys([asked.y, asked.x, asked.size]))
    if len(names) < 3:
        return
    st.subheader("Two objectives at a time")
    methods = coloured_in_panels(frame, names, chosen, axes, order)
    chart = panels_chart(frame, names, chosen, reads.theme(), axes, methods)
    st.altair_chart(
        quickly(chart),
        on_select="rerun",
        selection_mode=["box"],
        key=f"panels{st.session_state.get('generation', 0)}",
        alt="The three objectives in pairs; the table below has their numbers",
    )
    grey = methods.told()
    st.caption(f"Drag in one panel: the same configurations stay strong in all three. {grey}".strip())  # fmt: skip
    downloads(chart, frame, f"{study}-panels", table=False, caption=grey)


def volumes(study: str, document: dict[str, Any]) -> None:
    """How much of the space of objectives each method covers."""
    found = volumes_frame(method_volumes(groups(document["rows"])))
    if len(found) < 2:
        return
    st.subheader("How much does each method cover?")
    seeds = len(document["rows"][0]["utility"]["values"])
    interval = "bars are Student's 95 % over seeds" if seeds > 1 else "1 seed: no intervals"
    st.caption(
        "The volume that a method's configurations dominate, seed by seed, from no forgetting, no utility and the oracle's"
        f" compute: 1 is all, for free; {interval}."
    )
    st.altair_chart(quickly(volumes_chart(found, reads.theme())), alt="Hypervolume of every method")
    with st.expander("As a table"):
        st.dataframe(found, hide_index=True, width="stretch")
    downloads(later(lambda: volumes_chart(found)), found, f"{study}-volumes", table=False)


def labels(frame: pd.DataFrame, y: str, study: str, document: dict) -> None:
    """Where recipes are there with several label fractions: the chosen objective over them."""
    if series(frame).empty or y not in OBJECTIVES:
        return
    st.subheader("How many labels does it need?")
    chart = labels_chart(frame, y, reads.theme())
    st.altair_chart(
        quickly(chart), alt=f"{OBJECTIVES[y].label} by the share of labelled forget items"
    )
    downloads(chart, series(frame), f"{study}-labels", document=document)


def pick_by_name(study: str, frame: pd.DataFrame) -> None:
    """The keyboard's way to a point."""
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    with left:
        chosen = selection.select_by_name(study, frame["configuration"], "Why is it there?")
    if chosen:
        right.button("Clear selection", on_click=forget_selection, args=(study,))


page()
