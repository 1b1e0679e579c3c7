"""Where a study's FLOPs and time went, stage by stage."""

from typing import Any

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from backend import cost
from backend.charts.cost import MEASURES, amounts_chart, shares_chart
from db import reads
from pages.components import shown
from pages.components.downloads import downloads
from pages.components.drawing import quickly

WHOLE, EACH = "Whole study", "Each configuration"


def cost_by_stage(engine: Engine, study: str) -> None:
    """A stacked bar of the stages, in all or for each configuration, with its table and downloads."""
    st.subheader("Cost by stage")
    whole, each = _costs(str(engine.url), study, reads.finished_version(engine), engine)
    if not whole["finished"].sum():
        st.info("No run of this study has finished, so nothing was spent that could be shown.")
        return
    columns = st.columns([2, 2, 3])
    what = columns[0].segmented_control(
        "Of", [WHOLE, EACH], default=WHOLE, required=True, key="cost_of", bind="query-params"
    )
    measure = "seconds"
    if what == EACH:
        measure = columns[1].segmented_control(
            "In",
            list(MEASURES),
            default="seconds",
            required=True,
            key="cost_in",
            format_func=lambda name: "FLOPs" if name == "flops" else "Time",
        )
    costs = whole if what == WHOLE else each
    chart = shares_chart(costs) if what == WHOLE else amounts_chart(costs, measure)
    st.altair_chart(quickly(chart), key="cost-chart", alt=_in_words(whole))
    st.caption(_said(whole, what == EACH))
    _table(costs, what == EACH)
    downloads(chart, costs, f"{study}-cost")


@st.cache_data(max_entries=20, show_spinner=False)
def _costs(
    place: str, study: str, version: str, _engine: Engine
) -> tuple[pd.DataFrame, pd.DataFrame]:
    record = reads.study(_engine, study)
    assert record is not None
    runs, inputs = reads.study_runs(_engine, record.id), reads.inputs(_engine, record.id)
    return (
        cost.whole(runs, inputs, record.document),
        cost.by_configuration(runs, inputs, record.document),
    )


def _said(whole: pd.DataFrame, each: bool) -> str:
    done, runs = int(whole["finished"].sum()), int(whole["runs"].sum())
    told = [
        f"{done} of {runs} runs have finished: {shown.flops(whole['flops'].sum())} FLOPs and"
        f" {shown.seconds(whole['seconds'].sum())} of one slot, however many worked side by side."
    ]
    if each:
        told.append(
            "Each bar is all that the configuration needs, over all seeds: base and oracle are in every bar that"
            " descends from them, so the bars add up to more than the study."
        )
    return " ".join(told)


def _in_words(whole: pd.DataFrame) -> str:
    parts = [
        f"{row['stage']} {row['share_of_seconds']:.0%}"
        for row in whole.to_dict("records")
        if not shown.missing(row["share_of_seconds"])
    ]
    return "Share of the time by stage: " + ", ".join(parts)


def _table(costs: pd.DataFrame, each: bool) -> None:
    told = costs.assign(
        runs=[f"{f} of {r}" for f, r in zip(costs["finished"], costs["runs"], strict=True)],
        flops=costs["flops"].map(shown.flops),
        seconds=costs["seconds"].map(shown.seconds),
    ).drop(columns=["finished"] if each else ["finished", "configuration"])
    share: Any = st.column_config.NumberColumn("of all FLOPs", format="percent")
    of_time: Any = st.column_config.NumberColumn("of all time", format="percent")
    st.dataframe(
        told, hide_index=True, width="stretch", placeholder=shown.DASH,
        column_config={
            "configuration": "Configuration", "stage": "Stage", "runs": "Finished runs",
            "flops": "FLOPs", "seconds": "Time", "share_of_flops": share, "share_of_seconds": of_time,
        },
    )  # fmt: skip
