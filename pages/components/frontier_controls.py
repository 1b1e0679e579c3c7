"""What the reader asks of the frontier: axes, budget, limits, bands; all of it in the address."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from backend.charts.axes import Axis, first_axes
from backend.limits import Limits

LABELS = {"x": "Across", "y": "Up", "size": "Size"}


@dataclass(frozen=True)
class View:
    """The two axes, what the size tells, the attack's largest step, and whether bands are drawn."""

    x: str
    y: str
    size: str
    budget: int
    bands: bool


def view(axes: Mapping[str, Axis], largest: int) -> View:
    """Controls in one row; their values stand in the address."""
    names, columns = list(axes), st.columns([3, 4, 3, 3, 2], vertical_alignment="bottom")
    chosen = []
    for column, (key, label), default in zip(columns[:3], LABELS.items(), first_axes(names), strict=True):  # fmt: skip
        chosen.append(
            column.selectbox(
                label,
                names,
                index=names.index(default),
                key=key,
                bind="query-params",
                format_func=lambda name: axes[name].label[:1].upper() + axes[name].label[1:],
            )
        )
    budget = largest
    if largest:
        budget = columns[3].slider(
            "Attack steps",
            0,
            largest,
            largest,
            key="budget",
            bind="query-params",
            help="The attacker may stop at any evaluated step up to this one.",
        )
    bands = columns[4].toggle(
        "Bands",
        key="bands",
        bind="query-params",
        help="For every method with several configurations and seeds: what all seeds attain up to what one seed attains, the line being half of them.",
    )
    x, y, size = chosen
    return View(x, y, size, min(budget, largest), bands)


def limits(frame: pd.DataFrame) -> Limits:
    """The most compute, the least utility and the least robustness that the reader accepts; none where nobody has such a number."""
    compute = pd.to_numeric(frame["compute"]).dropna()
    utility = pd.to_numeric(frame["utility"]).dropna()
    if compute.empty or utility.empty:
        return Limits()
    columns = st.columns(3)
    top = max(1.0, float(compute.max().round(2)) + 0.01)
    most = columns[0].slider(
        "Compute at most", 0.0, top, top, 0.01, key="most", bind="query-params"
    )
    least = columns[1].slider(
        "Utility at least", 0.0, 1.0, 0.0, 0.01, key="least", bind="query-params"
    )
    lasts = columns[2].slider(
        "Robust forget quality at least", 0.0, 1.0, 0.0, 0.01, key="lasts", bind="query-params"
    )
    return Limits(most if most < top else None, least or None, lasts or None)
