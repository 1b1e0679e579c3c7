"""Which items flip between two configurations, before and after the strongest attack."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from backend.charts.comparison import BAD, GOOD, flips_chart
from backend.comparison_words import p_value
from backend.item_comparison import (
    AFTER,
    GAINED,
    LOST,
    RETAIN,
    SPLITS,
    Compared,
    compared,
    flipped_items,
    right_or_wrong_metrics,
    totals,
)
from backend.paired_tests import holm
from backend.spreadsheets import csv
from pages.components import reads
from pages.components.compare_report import chart_to_report
from pages.components.downloads import downloads
from pages.components.drawing import quickly
from pages.components.shown import DASH, plain

Rows = Sequence[Mapping[str, Any]]
ALL = "all"


def items_section(study: str, rows: Rows, names: Mapping[str, str], reference: str) -> None:
    """Counts, picture, test and list of the items that one of two models answers right and the other wrong."""
    st.subheader("Which items flip?")
    first, second, third = st.columns(3)
    with first:
        other = choose_other(names, reference)
    pair = [next(r for r in rows if r["configuration"] == name) for name in (reference, other)]
    record, runs = reads.planned(study)
    engine = reads.engine()
    assert engine is not None
    metrics = right_or_wrong_metrics(engine, record.document, runs, pair)
    if not metrics:
        st.info(
            "Nothing to count: no metric that calls an item right or wrong has stored values for both of them."
            " A loss or a probability says of no item whether it is right."
        )
        return
    metric = metrics[0]
    if len(metrics) > 1:
        metric = str(second.selectbox("Right or wrong by", metrics, key="by", bind="query-params"))
    found = compared(engine, record.document["seeds"], runs, pair, metric)
    with third if len(metrics) > 1 else second:
        chosen = choose_seed(found)
    title = f"From {names[reference]} to {names[other]}"
    counts(study, {"revision": record.revision}, totals(found), title, metric, chosen)
    absent = [place for place in SPLITS if place not in {one.place for one in found}]
    if absent:
        why = " (it takes a complete attack grid, and an attack that is scored by this metric)"
        st.caption(f"No stored values of both for: {', '.join(absent)}{why if AFTER in absent else ''}.")  # fmt: skip
    listed([one for one in found if chosen in (ALL, str(one.seed))], names, reference, other, study)


def choose_other(names: Mapping[str, str], reference: str) -> str:
    """Whom to compare the reference with."""
    others = [name for name in names if name != reference]
    return str(st.selectbox("From the reference to", others, key="other", bind="query-params"))


def choose_seed(found: Sequence[Compared]) -> str:
    """One seed, or all pooled."""
    seeds = list(dict.fromkeys(str(one.seed) for one in found))
    options = [ALL, *seeds] if len(seeds) > 1 else seeds
    if not options:
        return ALL
    return str(
        st.selectbox(
            "Seed",
            options,
            key="flip_seed",
            bind="query-params",
            format_func=lambda seed: "all seeds pooled" if seed == ALL else f"seed {seed}",
        )
    )


def counts(
    study: str,
    document: Mapping[str, Any],
    counted: pd.DataFrame,
    title: str,
    metric: str,
    chosen: str,
) -> None:
    """How many flip which way, as a picture and a table with McNemar's test."""
    drawn = counted[counted["seed"] == chosen]
    if drawn.empty:
        st.info("Neither model has stored values of the same items yet.")
        return
    rows = _sides(drawn)
    chart = flips_chart(rows, reads.theme())
    said = f"{title}, {_seeds(chosen)}: " + "; ".join(_said(line) for line in drawn.to_dict("records")) + "."  # fmt: skip
    st.altair_chart(quickly(chart), key="flips", alt=said)
    st.markdown(plain(said))
    with st.container(horizontal=True):
        chart_to_report("Items that flip", chart, rows, f"{said} Right or wrong by {metric}.", "report-flips", study, document)  # fmt: skip
    downloads(chart, rows, f"{study}-flips", table=False)
    tested = counted["p"].dropna()
    adjusted = dict(zip(tested.index, holm(list(tested)), strict=True))
    pooled = counted.assign(seed=counted["seed"].replace(ALL, "all, pooled"))
    shown = pooled[["place", "seed", "items", "both", "lost", "gained", "neither"]].assign(
        p=[p_value(p) or DASH for p in counted["p"]],
        holm=[p_value(adjusted.get(i)) or DASH for i in counted.index],
    )
    high = 40 + 35 * min(len(shown), 16)
    st.dataframe(shown, hide_index=True, width="stretch", column_config=COLUMNS, height=high)
    st.caption(
        f"McNemar's exact test of every seed: of n flipped items, are so unequal numbers in the two directions likely by"
        f" chance? Holm's correction over the {len(tested)} tests of this table. A pooled line has no test, since the same items"
        " come back in every seed and are not independent. The test is about these two models' items; whether the recipes"
        " differ is what the tests over seeds above say. After the attack each model stands under its own strongest one."
    )


COLUMNS: dict[str, Any] = {
    "place": st.column_config.TextColumn("Items", width="medium"),
    "seed": "Seed",
    "items": "All",
    "both": st.column_config.NumberColumn("Both right"),
    "lost": st.column_config.NumberColumn(
        "Only reference right", help="right → wrong; of forget items leak → safe"
    ),  # fmt: skip
    "gained": st.column_config.NumberColumn(
        "Only other right", help="wrong → right; of forget items safe → leak"
    ),  # fmt: skip
    "neither": st.column_config.NumberColumn("Both wrong"),
    "p": st.column_config.TextColumn("p", help="McNemar's exact test, two-sided"),
    "holm": "p (Holm)",
}


def _seeds(chosen: str) -> str:
    return "all seeds pooled" if chosen == ALL else f"seed {chosen}"


def _said(line: Mapping[Any, Any]) -> str:
    place = line["place"]
    return f"{place}: {line['lost']} {LOST[place]}, {line['gained']} {GAINED[place]} of {line['items']}"


def _sides(drawn: pd.DataFrame) -> pd.DataFrame:
    """One line a place and direction, with whether that direction is good for the other configuration."""
    lines = []
    for line in drawn.to_dict("records"):
        place = line["place"]
        lost, gained = (BAD, GOOD) if place == RETAIN else (GOOD, BAD)
        lines.append((place, LOST[place], line["lost"], -1, lost))
        lines.append((place, GAINED[place], line["gained"], 1, gained))
    return pd.DataFrame(lines, columns=["place", "flip", "items", "side", "good"])


def listed(
    found: Sequence[Compared],
    names: Mapping[str, str],
    reference: str,
    other: str,
    study: str,
) -> None:
    """The flipped items with their questions and both answers, where those are stored."""
    engine = reads.engine()
    assert engine is not None
    items, count = flipped_items(engine, found)
    if not count:
        st.caption("No item flips.")
        return
    st.markdown(f"**{len(items)} of {count} flipped items have a stored question.** Evaluations store a few items of each kind.")  # fmt: skip
    if items.empty:
        return
    st.dataframe(
        items,
        hide_index=True,
        width="stretch",
        placeholder=DASH,
        column_config={
            "place": "Items",
            "seed": "Seed",
            "item": "Item",
            "flip": "Flip",
            "question": "Question",
            "expected": "Expected",
            "answer_one": f"Answer of {names[reference]}",
            "answer_other": f"Answer of {names[other]}",
            "answers_from": "Answers are from",
        },
    )
    st.caption(
        "Where an attack's answers at the step that counts are not stored, those of another step of the same run stand here if"
        " they are as right or wrong; else a dash."
    )
    st.download_button(
        "CSV",
        data=lambda: csv(items),
        file_name=f"{study}-flipped-items.csv",
        on_click="ignore",
        key="download-items",
    )
