"""The frontier as a table: the chart's twin for readers and screen readers."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from backend.charts.axes import Axis
from backend.charts.naming import told_apart
from backend.charts.theme import NAMES
from pages.components.shown import DASH

TITLES: dict[str, Any] = {
    "configuration": st.column_config.TextColumn(
        "Configuration",
        width="medium",
        help="its stages, with the parameters that tell it from the others; best of N is the best of N search trials, chosen on validation data",
    ),  # fmt: skip
    "front": st.column_config.TextColumn(
        "Front", help="non-dominated in robust forget quality, utility and compute"
    ),
    "front_probability": st.column_config.NumberColumn(
        "On the front",
        format="percent",
        help="share of resampled seeds in which nothing dominates it",
    ),
    "hypervolume_contribution": st.column_config.NumberColumn(
        "Hypervolume it adds",
        format="%.3f",
        help="how much less volume (robust forget quality × utility × compute saved) the front covers without this configuration",
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
WHERE_ANY = ("front_probability", "hypervolume_contribution", "lowest_utility", "search_flops")


def table(
    frame: pd.DataFrame, axes: Mapping[str, Axis], chosen: tuple[str, ...], key: str
) -> list[str]:
    """Every configuration with what is drawn and what a reader should know beside it; whose rows were just ticked."""
    cells = frame["cells_done"].astype(str) + " of " + frame["cells_total"].astype(str)
    front = ["●" if found is True else "" for found in frame["on_front"]]
    numbers = list(dict.fromkeys([*chosen, *(name for name in NAMES if name in axes)]))
    names = frame["configuration"].map(told_apart(frame["configuration"]))
    placed = ["front"] if frame["on_front"].notna().any() else []
    columns = ["configuration", *placed, *numbers, *_telling(frame), "weak_evidence"]
    told = frame.assign(cells=cells, front=front, configuration=names)
    told = told[[name for name in dict.fromkeys(columns) if name in told]]
    event: Any = st.dataframe(
        told,
        hide_index=True,
        column_config={**TITLES, **_numbers(numbers, axes)},
        width="stretch",
        height=min(40 + 35 * len(told), 1200),
        placeholder=DASH,
        on_select="rerun",
        selection_mode="multi-row",
        key=key,
    )
    ticked = frame["configuration"].iloc[list(event.selection.rows)].tolist()
    seen = st.session_state.get(f"{key} seen", [])
    st.session_state[f"{key} seen"] = ticked
    return ticked if ticked != seen else []


def _telling(frame: pd.DataFrame) -> list[str]:
    """The columns that say something of this study."""
    found = [] if frame["complete"].all() else ["robust_so_far"]
    found += ["cells", "worst_attack"] if frame["cells_total"].any() else []
    found += [name for name in WHERE_ANY if frame[name].fillna(0).any()]
    found += ["inference_overhead"] if (frame["inference_overhead"].fillna(1) > 1).any() else []
    return found + (["badges"] if frame["badges"].astype(bool).any() else [])


def _numbers(names: list[str], axes: Mapping[str, Axis]) -> dict[str, Any]:
    titles = {n: axes[n].label.removesuffix(" forget quality") if n in axes else n for n in names}
    titles["robust_so_far"] = "robust so far"
    return {
        name: st.column_config.NumberColumn(
            title[:1].upper() + title[1:],
            format="%.3g" if name not in NAMES and name != "robust_so_far" else "%.3f",
            help=axes[name].title() if name in axes else None,
        )
        for name, title in titles.items()
    }
