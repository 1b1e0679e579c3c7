"""What the papers' figures are drawn from, read from the database and cached."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from backend.figure_views import Material, of_models
from db import reads as database
from pages.components import reads


def material(study: str, chosen: Sequence[str]) -> Material:
    """A study's document, curves and further measurements, with the chosen configurations and the references."""
    document = reads.document(study)

    def measured(
        metrics: Sequence[str],
        splits: Sequence[str] | None = None,
        stages: Sequence[str] = ("evaluate",),
    ) -> pd.DataFrame:
        engine = reads.engine()
        assert engine is not None
        version = database.finished_version(engine)
        asked = tuple(metrics), None if splits is None else tuple(splits), tuple(stages)
        found, runs = _measured(str(engine.url), study, *asked, version)
        return of_models(document, runs, found)

    return Material(document, reads.curves(study), measured, chosen, reads.theme())


@st.cache_data(max_entries=40, show_spinner=False)
def _measured(
    place: str,
    study: str,
    metrics: tuple[str, ...],
    splits: tuple[str, ...] | None,
    stages: tuple[str, ...],
    version: str,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(measurements of all categories, the study's runs)."""
    engine = reads.engine()
    assert engine is not None
    record = database.study(engine, study)
    assert record is not None
    found = database.measurements(
        engine, study_id=record.id, stages=stages, splits=splits, metrics=metrics, category=None
    )
    return found, database.study_runs(engine, record.id)
