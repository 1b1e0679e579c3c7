"""The room on the disk, and whether what waits fits."""

import streamlit as st
from sqlalchemy import Engine

from backend.disk_forecast import DiskForecast, disk_forecast
from db import reads
from pages.components.shown import plain


def disk_line(engine: Engine) -> None:
    """One line on what is free and what waiting runs need; a warning where that does not fit."""
    found = _forecast(str(engine.url), reads.finished_version(engine), engine)
    if found.fits:
        st.caption(f"Disk: {plain(found.words)}.")
    else:
        st.warning(plain(found.warning))


@st.cache_data(max_entries=10, ttl=15, show_spinner=False)
def _forecast(place: str, version: str, _engine: Engine) -> DiskForecast:
    return disk_forecast(_engine)
