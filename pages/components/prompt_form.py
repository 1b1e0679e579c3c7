"""What the models are asked: an example of the setting or the reader's own prompt, and how answers are drawn."""

from typing import Any

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from backend import catalogue
from backend.playground import requests
from db import reads as database

EXAMPLE, OWN = "An example", "My own"
SPLITS = {"forget_score": "Forget set", "retain_score": "Retain set"}
SEEN = "seen_items"  # in the session: (split, item) → its prompt, of items that were answered in a slice
MOST_SHOWN = 90  # characters of a question in a list


def reads_text(setting: str) -> bool:
    """Whether a setting's models read any text; else they read the words of a small vocabulary."""
    part = catalogue.part("settings", setting)
    return any(parameter.name == "tokenizer" for parameter in part.parameters)


@st.cache_data(max_entries=20, show_spinner=False)
def examples(place: str, study_id: int, base: int, version: str, _engine: Engine) -> pd.DataFrame:
    """The questions that an evaluation of the base kept as text: split, item, category, question, expected."""
    runs = database.study_runs(_engine, study_id)
    mine = runs[(runs["stage"] == "evaluate") & (runs["parent"] == base)]
    found = database.samples(_engine, [int(run) for run in mine["id"]])
    columns = ["split", "item", "category", "question", "expected"]
    return found[columns].drop_duplicates(["split", "item"], ignore_index=True)


def question_of(question: str, expected: str) -> str:
    """A stored question without the answer that stands behind it in a row of text, and without what fills rows up."""
    plain = question
    while plain.endswith(("<pad>", "<end>")):
        plain = plain[:-5]
    answer = expected.removesuffix("<end>").strip()
    # A row ends with its answer's last but one token.
    for end in range(len(answer), max(0, len(answer) - 12), -1):
        if len(answer) > 1 and plain.endswith(answer[:end]) and "Answer:" in plain:
            return plain[: -end or None].rstrip()
    return plain


def split_name(split: str) -> str:
    """A split as readers know it."""
    return SPLITS.get(split, split.removesuffix("_score").replace("_", " ").capitalize())


def splits_of(known: pd.DataFrame) -> list[str]:
    """The splits that there are examples of, forget set first."""
    found = list(dict.fromkeys(known["split"]))
    return sorted(found, key=lambda split: (split != "forget_score", split != "retain_score"))


def choose_items(known: pd.DataFrame, text: bool) -> dict[str, Any] | None:
    """What is asked; None while nothing is."""
    kinds = [EXAMPLE, OWN] if len(known) else [OWN]
    kind = st.segmented_control(
        "Prompt", kinds, default=kinds[0], required=True, key="kind", bind="query-params"
    )
    return _example(known) if kind == EXAMPLE else _own(known, text)


def _example(known: pd.DataFrame) -> dict[str, Any] | None:
    left, right = st.columns([1, 3])
    names = {split_name(split): split for split in splits_of(known)}
    split = names[str(left.selectbox("From", list(names), key="part", bind="query-params"))]
    mine = known[known["split"] == split]
    told = {_numbered(row): int(row["item"]) for row in mine.to_dict("records")}
    place = _wanted(split)
    if place is not None and place not in told.values():
        seen = st.session_state.get(SEEN, {}).get((split, place), "")
        told = {_numbered({"item": place, "question": seen, "expected": ""}): place} | told
    places = list(told.values())
    start = places.index(place) if place is not None else 0
    chosen = right.selectbox("Example", list(told), index=start, key=f"example {split} {place}")
    if chosen is None:
        return None
    if told[chosen] != places[start]:
        st.query_params["item"] = f"{split}-{told[chosen]}"
        st.rerun()
    return requests.one_item(split, told[chosen])


def _wanted(split: str) -> int | None:
    """The item that the address names, where it is one of this split."""
    named, _, place = st.query_params.get("item", "").rpartition("-")
    return int(place) if named == split and place.isascii() and place.isdigit() else None


def look_at(split: str, place: int, prompt: str) -> None:
    """Choose an item as the example; for a button's `on_click`, since widgets must not be drawn yet."""
    st.session_state.setdefault(SEEN, {})[split, place] = prompt
    st.session_state["kind"], st.session_state["part"] = EXAMPLE, split_name(split)
    st.query_params["item"] = f"{split}-{place}"


def _numbered(row: Any) -> str:
    question = " ".join(question_of(row["question"], row["expected"]).split())
    short = question if len(question) <= MOST_SHOWN else question[: MOST_SHOWN - 1] + "…"
    return f"{short}  (number {row['item']})".strip()


def _own(known: pd.DataFrame, text: bool) -> dict[str, Any] | None:
    prompt = st.text_area(
        "Your prompt",
        key="prompt",
        bind="query-params",
        height=90,
        max_chars=requests.MOST_CHARACTERS,
        placeholder="Question or beginning of a text" if text else "7 × 8 =",
    )
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    expected = left.text_input(
        "Expected answer, if there is one",
        key="expected",
        bind="query-params",
        help="What is looked for in the answers, and whose tokens' probabilities are compared. Without it, those of what"
        " the first model says.",
    )
    as_question = False
    if text:
        asked_so = len(known) and known["question"].str.startswith("Question:").mean() > 0.5
        as_question = right.toggle(
            "Put it as the setting puts its questions",
            value=bool(asked_so),
            key="as_question",
            help="In the template in which the models were trained; else the prompt is read as it stands.",
        )
    if not prompt.strip():
        return None
    return requests.free_prompt(prompt, expected, as_question)


def choose_decoding(text: bool) -> tuple[dict[str, Any], str]:
    """How answers are drawn, the same for all models, and further texts to look for in them."""
    columns = st.columns(5)
    temperature = columns[0].number_input(
        "Temperature", 0.0, 5.0, 0.0, 0.1, key="temperature", bind="query-params",
        help="0 takes the likeliest token each time (greedy).",
    )  # fmt: skip
    greedy = temperature == 0
    top_p = columns[1].number_input(
        "Top-p", 0.0, 1.0, 1.0, 0.05, key="top_p", bind="query-params", disabled=greedy,
        help="Draw from the likeliest tokens that have this share of the probability together.",
    )  # fmt: skip
    seed = columns[2].number_input(
        "Seed of the draws", 0, 2**31, 0, key="draw", bind="query-params", disabled=greedy,
        help="The draws of every model begin from it.",
    )  # fmt: skip
    tokens = columns[3].number_input(
        "Tokens at most", 1, requests.MOST_TOKENS, 48 if text else 1, key="tokens", bind="query-params",
        help="How long an answer may grow." if text else "In this setting an answer has one token.",
    )  # fmt: skip
    mark = columns[4].text_input(
        "Also look for", key="mark", bind="query-params", placeholder="texts, with commas",
        help="Texts that are marked where an answer says them, besides the expected answer.",
    )  # fmt: skip
    return requests.decoding(temperature, top_p, int(seed), int(tokens)), str(mark)
