"""What machines were at: on Jobs of late, on a run's page while it ran."""

import time
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from backend.charts.machines import Window, machine_chart, machines_chart
from backend.machine_history import SAMPLE_SECONDS, in_words, lines
from db import reads
from pages.components import shown
from pages.components.downloads import downloads
from pages.components.drawing import later, quickly

WINDOWS = {"Last hour": 3600, "Last day": 86_400, "Last 30 days": 30 * 86_400}
COLUMNS = 2
CSV = ["measure", "series", "card", "unit", "at", "value"]


def machines(engine: Engine) -> None:
    """The machines of workers over the last hour, day or month; looked at anew every twenty seconds."""
    st.subheader("Machines")

    @st.fragment(run_every=SAMPLE_SECONDS)
    def follow() -> None:
        columns = st.columns([3, 2])
        chosen = columns[0].segmented_control("Time", list(WINDOWS), default="Last hour", required=True, key="machine_time", label_visibility="collapsed")  # fmt: skip
        # The same moment for everybody who looks between two samples: what is read and drawn is then the same too.
        now = SAMPLE_SECONDS * (time.time() // SAMPLE_SECONDS + 1)
        since = now - WINDOWS[str(chosen)]
        hosts = reads.machine_hosts(engine, since)
        if not hosts:
            st.caption("No worker has told what its machine is at in this time; one that runs tells it every 20 seconds.")  # fmt: skip
            return
        host = hosts[0]
        if len(hosts) > 1:
            host = str(columns[1].selectbox("Machine", hosts, key="machine_host", label_visibility="collapsed"))  # fmt: skip
        else:
            columns[1].caption(f"Machine: {shown.plain(host)}")
        rows = _read(str(engine.url), host, int(since), int(now), engine)
        _charts(rows, (_moment(since), _moment(now)), host)

    follow()


def while_it_ran(engine: Engine, run: dict[str, Any]) -> None:
    """What the machine of a run was at from its beginning to its end, or to now."""
    host, begun = (run["environment"] or {}).get("host"), run["started_at"]
    if not host or begun is None:
        return
    st.caption(f"Its machine, {shown.plain(str(host))}, while it ran")
    ended = run["finished_at"] or datetime.now(UTC)
    since, until = begun.timestamp() - SAMPLE_SECONDS, ended.timestamp() + SAMPLE_SECONDS
    rows = _read(str(engine.url), str(host), int(since), int(until), engine)
    if rows.empty:
        st.caption("Nobody looked at that machine in this time: workers look at their own every 20 seconds, and keep that for 30 days.")  # fmt: skip
        return
    _charts(rows, (_moment(since), _moment(until)), f"{host}-run-{run['id']}")


@st.cache_data(max_entries=40, ttl=SAMPLE_SECONDS, show_spinner=False)
def _read(place: str, host: str, since: int, until: int, _engine: Engine) -> pd.DataFrame:
    found = reads.machine_history(_engine, host, since, until)
    return lines(found.machine, found.gpus, found.width)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _charts(rows: pd.DataFrame, window: Window, name: str) -> None:
    words = in_words(rows)
    cards = [f"{number} {shown.plain(card)}" for number, card in dict(zip(rows["series"], rows["card"], strict=True)).items() if number]  # fmt: skip
    if cards:
        st.caption(f"GPUs: {', '.join(cards)}")
    columns: list[Any] = []
    for k, (measure, part) in enumerate(rows.groupby("measure", sort=False)):
        # A row of columns each, so that a narrow window has them in their order.
        columns = st.columns(COLUMNS) if k % COLUMNS == 0 else columns
        unit, title = str(part["unit"].iloc[0]), str(part["title"].iloc[0])
        low, high, last = (_said(value, unit) for value in words[str(measure)])
        alt = f"{title}: {last} at last, {low} to {high}"
        chart = quickly(machine_chart(part, window))
        columns[k % COLUMNS].altair_chart(chart, key=f"machine-{name}-{measure}", alt=alt)
    downloads(
        later(lambda: machines_chart(rows, window)), rows[CSV], f"machine-{name}", table=False
    )


def _said(value: float, unit: str) -> str:
    return shown.size(value) if unit == "bytes" else f"{value:.0f} {unit}"
