"""What does each model say to the same prompt?"""

import app

app.guard()

from typing import Any  # noqa: E402

import streamlit as st  # noqa: E402
from sqlalchemy import Engine  # noqa: E402

from backend.playground import requests  # noqa: E402
from backend.stage import UserError  # noqa: E402
from db import reads as database  # noqa: E402
from pages.components import prompt_form, reads, shown  # noqa: E402
from pages.components.answers_view import one_prompt  # noqa: E402
from pages.components.asked_models import (  # noqa: E402
    Models,
    attacked_models,
    choose_models,
    choose_seed,
)
from pages.components.open_request import ask_button, follow  # noqa: E402
from pages.components.slice_view import choose_slice, slice_view  # noqa: E402


def models_of(engine: Engine, study: str, record: database.StudyRecord) -> Models:
    """The models to ask; ends the page where there is none."""
    document = reads.document(study)
    if not document["rows"]:
        reads.study_waits(": no model is finished, so there is none to ask")
    seeds = [int(seed) for seed in record.document["seeds"]]
    seed = choose_seed(seeds)
    found = choose_models(engine, study, document, seeds, seed)
    attacked_models(engine, document, seed, found)
    for reason in found.lacking:
        st.caption(f":material/info: {shown.plain(reason)}")
    if not found.ready:
        st.info(
            "None of these models is finished, so there is none to ask. The Jobs page shows what runs."
        )
        st.stop()
    return found


def request_of(found: Models, items: dict[str, Any] | None, how: dict[str, Any]) -> Any:
    """What is asked, checked; None where nothing is, or where it cannot be."""
    if items is None:
        return None
    try:
        return requests.asked(found.ready, items, how)
    except UserError as mistake:
        st.error(shown.plain(str(mistake)))
        return None


def one(engine: Engine, study: str, asked: Any, mark: str) -> None:
    """One prompt: the button, where it is, the answers."""
    if asked is None:
        st.caption("Write a prompt to ask it.")
        return
    label = f"Ask {len(asked['models'])} models"
    request = ask_button(engine, study, asked, label, "ask")
    follow(engine, request, "one")
    if request is not None and request["state"] == "complete":
        one_prompt(study, request, mark)


def several(
    engine: Engine, study: str, found: Models, how: dict[str, Any], mark: str, splits: list[str]
) -> None:
    """A part of a set at once."""
    st.subheader("A part of a set at once")
    st.caption(
        "The same models and decoding, item by item: who says the answer how often, and where do they differ?"
    )
    if not splits:
        st.caption(
            "Nothing of the base was evaluated yet, so the setting's sets are not known here."
        )
        return
    asked = request_of(found, choose_slice(splits), how)
    if asked is None:
        return
    request = ask_button(
        engine, study, asked, f"Ask {len(asked['models'])} models all of it", "ask-slice"
    )
    follow(engine, request, "slice")
    if request is not None and request["state"] == "complete":
        slice_view(study, request, mark)


def page() -> None:
    """Models, prompt, answers, a part of a set."""
    st.title("Playground")
    st.markdown("**What does each model say to the same prompt?**")
    study = reads.choose_study("No study yet, so there is no model to ask.")
    engine = reads.engine()
    record = database.study(engine, study) if engine is not None else None
    assert engine is not None and record is not None
    found = models_of(engine, study, record)
    if found.making:
        reads.watch(database.finished_version)
    text = prompt_form.reads_text(record.document["setting"]["name"])
    version, base = database.finished_version(engine), found.ready[0]["run"]
    known = prompt_form.examples(str(engine.url), record.id, base, version, engine)
    items = prompt_form.choose_items(known, text)
    how, mark = prompt_form.choose_decoding(text)
    one(engine, study, request_of(found, items, how), mark)
    several(engine, study, found, how, mark, prompt_form.splits_of(known))


page()
