"""A part of a set at once: item × model, who says the answer how often, and where models differ."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from backend.playground import leaks, requests
from backend.spreadsheets import csv
from pages.components import shown
from pages.components.answers_view import wanted_in
from pages.components.prompt_form import look_at, split_name
from pages.components.reporting import add_to_report

NOTHING = "(nothing)"
ALL, DIFFER = "All", "Only where models differ"


def choose_slice(splits: list[str]) -> dict[str, Any]:
    """Which set, and how many of it."""
    left, right = st.columns([2, 1])
    names = {split_name(split): split for split in splits}
    name = left.selectbox("Set", list(names), key="slice_of", bind="query-params")
    count = right.number_input(
        "Items", 1, requests.MOST_ITEMS, 50, 10, key="slice_count", bind="query-params",
        help="Spread evenly over the set's score part.",
    )  # fmt: skip
    return requests.a_slice(names[str(name)], int(count))


def slice_view(study: str, request: Mapping[str, Any], mark: str) -> None:
    """Totals for each model, then every item."""
    told, models = request["answers"], request["asked"]["models"]
    names = [str(model["label"]) for model in models]
    summed = totals(told, names, mark)
    _draw_totals(summed)
    _too_short(told["items"], int(request["asked"]["decoding"]["max_tokens"]))
    frame = answers_frame(told["items"], names, mark, told["end"])
    kept = st.segmented_control(
        "Show", [ALL, DIFFER], default=ALL, required=True, key="slice_show", bind="query-params",
        help="Models differ where some say the answer and others do not; where none is known, where their texts differ.",
    )  # fmt: skip
    chosen = frame[frame["differ"]] if kept == DIFFER else frame
    st.caption(
        f"{len(chosen)} of {len(frame)} items. {leaks.SIGN} says the answer, ○ does not. Choose a row to look at it alone."
    )
    _items(request, chosen, str(kept))
    with st.container(horizontal=True):
        st.download_button(
            "CSV", csv(chosen.drop(columns="differ")), "answers.csv", on_click="ignore", key="slice-csv",
        )  # fmt: skip
        split, count = request["asked"]["items"]["split"], len(told["items"])
        title = f"{split_name(split)}: what models say to {count} prompts"
        add_to_report(
            "table", title, lambda: _block(study, request, summed), key=f"slice-{request['id']}"
        )


def _too_short(items: list[dict[str, Any]], most: int) -> None:
    """Say how many answers had no room to be whole."""
    cut = sum(item["expected"] is not None and len(item["reference"]) > most for item in items)
    if cut:
        st.caption(
            f"Of {len(items)} items {cut} expect more tokens than the {most} that an answer may have; these are neither right nor"
            " wrong. Allow more tokens at most."
        )


def _items(request: Mapping[str, Any], frame: pd.DataFrame, kept: str) -> None:
    """The table of the items; a chosen row can be asked alone."""
    medium: Any = st.column_config.TextColumn(width="medium")
    event: Any = st.dataframe(
        frame.drop(columns=["differ", "place"]), hide_index=True, width="stretch",
        on_select="rerun", selection_mode="single-row", key=f"slice-{request['id']}-{kept}",
        placeholder=shown.DASH, column_config=dict.fromkeys(("Prompt", "Expected"), medium),
    )  # fmt: skip
    rows = event["selection"]["rows"] if event else []
    if not rows or rows[0] >= len(frame):
        return
    row = frame.iloc[rows[0]]
    place, prompt = int(row["place"]), str(row["Prompt"])
    split = str(request["asked"]["items"]["split"])
    st.button(f"Look at number {place} alone", on_click=look_at, args=(split, place, prompt))


def _block(study: str, request: Mapping[str, Any], summed: pd.DataFrame) -> dict[str, Any]:
    """The totals as a block of a report."""
    how, items = request["asked"]["decoding"], request["asked"]["items"]
    return {
        "columns": list(summed.columns),
        "rows": summed.astype(object).where(summed.notna(), None).to_numpy().tolist(),
        "caption": f"{len(request['answers']['items'])} items of {items['split']}, spread evenly; temperature"
        f" {how['temperature']:g}, at most {how['max_tokens']} tokens.",
        "study": study,
        "runs": [model["run"] for model in request["asked"]["models"]],
    }


def totals(told: Mapping[str, Any], names: list[str], mark: str) -> pd.DataFrame:
    """A row a model: how often it says the answer, is right and wrong, and how likely it finds the answer."""
    items = told["items"]
    found = leaks.counts(items, len(names), mark, [told["end"]] if told["end"] else [])
    return pd.DataFrame(
        {
            "model": name,
            "says it": count["says"],
            "share": count["says"] / len(items),
            "right": count["right"],
            "wrong": count["wrong"],
            "mean p(answer)": _mean_probability(items, place),
        }
        for place, (name, count) in enumerate(zip(names, found, strict=True))
    )


def _draw_totals(summed: pd.DataFrame) -> None:
    config: dict[str, Any] = {
        "model": "Model",
        "says it": st.column_config.NumberColumn(f"{leaks.SIGN} says it"),
        "share": st.column_config.ProgressColumn("of all", format="percent", min_value=0, max_value=1),
        "right": st.column_config.NumberColumn("Right", help="token by token the expected answer"),
        "wrong": "Wrong",
        "mean p(answer)": st.column_config.NumberColumn(
            "Mean p(answer)", format="%.3f", help="mean over items of the probability of the whole expected answer"
        ),
    }  # fmt: skip
    st.dataframe(
        summed, hide_index=True, width="stretch", column_config=config, placeholder=shown.DASH
    )


def _mean_probability(items: list[dict[str, Any]], place: int) -> float | None:
    known = [np.exp(sum(i["answers"][place]["log_p"])) for i in items if i["expected"] is not None]
    return float(np.mean(known)) if known else None


def answers_frame(
    items: list[dict[str, Any]], names: list[str], mark: str, end: str
) -> pd.DataFrame:
    """One row an item: its number, prompt, expected answer, what every model says with its sign, and whether they differ."""
    rows = []
    for item in items:
        wanted = wanted_in(item, mark, end)
        found = [leaks.verdict(answer, wanted) for answer in item["answers"]]
        texts = [leaks.normal(answer["text"]).strip() for answer in item["answers"]]
        signs = {leaks.SAYS: f"{leaks.SIGN} ", leaks.SILENT: "○ ", leaks.UNKNOWN: ""}
        expected = item["expected"]
        rows.append(
            {
                "place": item["place"],
                "Prompt": item["prompt"],
                "Expected": None if expected is None else expected.removesuffix(end).strip(),
                **{
                    name: signs[v] + (text or NOTHING)
                    for name, v, text in zip(names, found, texts, strict=True)
                },
                "differ": len(set(found if wanted else texts)) > 1,
            }
        )
    return pd.DataFrame(rows)
