"""The numbers that imported studies report, as definitions."""

import streamlit as st
from sqlalchemy import Engine

from backend.definitions import Definition, reported
from db import reads
from db.session import DatabaseProblem, open_database


@st.cache_data(max_entries=20, show_spinner=False)
def _of(place: str, studies: tuple[tuple[str, int], ...], _engine: Engine) -> list[Definition]:
    """Of these revisions, which never change."""
    records = (reads.study(_engine, name) for name, _ in studies)
    return list(reported({record.name: record.document for record in records if record}))


def reported_definitions() -> list[Definition]:
    """Those of all imported studies; none where there is no database, or it cannot be read."""
    try:
        engine = open_database(create=False)
        if engine is None:
            return []
        rows = reads.studies(engine)
    except DatabaseProblem:
        return []
    mine = rows[rows["origin"] == "imported"]
    held = tuple(zip(mine["name"].astype(str), mine["id"].astype(int), strict=True))
    return _of(str(engine.url), held, engine)
