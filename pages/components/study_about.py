"""What a study asks and how far it is, in a line below its name."""

from typing import Any, NamedTuple

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from backend import catalogue
from backend.study_questions import question_of, shipped_question
from db import reads
from pages.components.shown import DASH, moment, plain


class Outline(NamedTuple):
    """What a study's document says of it in short; `kind` is that of an import, empty of what is run here."""

    question: str
    configurations: int
    seeds: int
    kind: str


@st.cache_data(max_entries=200, show_spinner=False)
def _outline(place: str, name: str, study_id: int, _engine: Engine) -> Outline:
    """Of one revision, which never changes."""
    record = reads.study(_engine, name)
    document: dict[str, Any] = record.document if record else {}
    told = [c for c in document.get("configurations", []) if c["method"] not in ("base", "oracle")]
    kind = str(document.get("imported", {}).get("kind") or "a table") if record and record.origin == "imported" else ""  # fmt: skip
    return Outline(question_of(name, document), len(told), len(document.get("seeds", [])), kind)


def outline(engine: Engine, row: pd.Series) -> Outline:
    """The outline of a study by its row of `reads.studies`."""
    return _outline(str(engine.url), str(row["name"]), int(row["id"]), engine)


def study_line(engine: Engine, row: pd.Series) -> None:
    """What the study asks, how large it is, and how far: below the field in which it was chosen."""
    about = outline(engine, row)
    told = [_count(about.configurations, "configuration"), _count(about.seeds, "seed"), _state(engine, row)]  # fmt: skip
    if about.kind:
        told = [f"others' results ({about.kind}), not run here", told[0], f"imported {moment(row['created_at'])}"]  # fmt: skip
    asks = f"**{plain(about.question)}** " if about.question else ""
    st.caption(f"{asks}{plain(' · '.join(told))}")


def _state(engine: Engine, row: pd.Series) -> str:
    """How many runs are complete, and when the last of them was."""
    done, every = int(row["complete"]), int(row["runs"])
    if done < every or not every:
        return f"{done:,} of {every:,} runs complete"
    return f"finished {moment(reads.last_finished(engine, int(row['id'])))}"


def _count(many: int, what: str) -> str:
    return f"{many} {what}{'s' * (many != 1)}"


def studies_table(engine: Engine | None, stored: pd.DataFrame) -> pd.DataFrame:
    """Every study that can be started from: name, what it asks, and how much of it is here."""
    rows = {name: {"Study": name, "Asks": shipped_question(name), "Here": "not yet"} for name in catalogue.studies()}  # fmt: skip
    for _, row in stored.iterrows() if engine is not None else ():
        assert engine is not None
        about = outline(engine, row)
        asks = f"others' results ({about.kind})" if about.kind else about.question or DASH
        here = f"{int(row['complete']):,} of {int(row['runs']):,} runs"
        rows[str(row["name"])] = {"Study": str(row["name"]), "Asks": asks, "Here": here}
    return pd.DataFrame(list(rows.values()))
