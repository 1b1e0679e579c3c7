"""A request on its way: asked, waiting, being answered, without a sign of life, failed."""

from collections.abc import Mapping
from typing import Any

import streamlit as st
from sqlalchemy import Engine

from backend.playground import requests
from db import reads as database
from db import writes
from db.session import require_database
from pages.components import shown
from pages.components.signing_in import beyond
from pages.components.starting import start_worker, worker_alive

OPEN = ("waiting", "running")
Request = dict[str, Any]


def ask_button(
    engine: Engine, study: str, asked: requests.Asked, label: str, key: str
) -> Request | None:
    """The stored request of what is asked, and the button that queues it where there is none to be answered."""
    found = database.prompt_by_key(engine, requests.key_of(asked))
    state = found["state"] if found else None
    said = {"failed": f"{label} again", None: label}.get(state, label)
    if st.button(
        said,
        key=key,
        type="primary",
        icon=":material/send:",
        **beyond(
            "runner",
            disabled=state in (*OPEN, "complete"),
            help="Answered already, see below." if state == "complete" else None,
        ),
    ):
        writes.ask(require_database(), requests.key_of(asked), study, asked)
        st.rerun()
    return found


def follow(engine: Engine, request: Request | None, key: str) -> None:
    """Show where an open or failed request is; looks every second while it is open, and not at all else."""
    if request is None:
        return
    if request["state"] == "failed":
        st.error(shown.plain(request["error"] or "No reason was given."))
    if request["state"] not in OPEN:
        return
    seen = request["state"], request["attempt"], worker_alive(engine), request["stale"]

    @st.fragment(run_every=1)
    def look() -> None:
        now = database.prompt_by_key(engine, request["key"])
        if (
            now is None
            or (now["state"], now["attempt"], worker_alive(engine), now["stale"]) != seen
        ):
            st.rerun()
        else:
            _where(engine, now, key)

    look()


def _where(engine: Engine, request: Request, key: str) -> None:
    alone = not worker_alive(engine)
    if request["stale"]:
        st.warning(
            "Whoever answered shows no sign of life; it is asked again as soon as a worker notices."
        )
    elif alone and request["state"] == "waiting":
        st.warning("No worker is running, so nobody answers. The question is kept until one does.")
    else:
        st.progress(*_progress(request))
    with st.container(horizontal=True):
        if alone:
            _start(engine, key)
        if st.button("Cancel", key=f"{key}-cancel", **beyond("runner")):
            writes.cancel_prompt(engine, int(request["id"]))
            st.rerun()


def _progress(request: Mapping[str, Any]) -> tuple[float, str]:
    if request["state"] == "waiting":
        ahead = int(request["ahead"])
        turn = f"after {ahead} other{'s' * (ahead != 1)}" if ahead else "its turn is next"
        again = f", attempt {request['attempt'] + 1}" if request["attempt"] else ""
        return 0.0, f"Waiting for the models to be loaded, {turn}{again} …"
    share = request["done"] / request["total"] if request["total"] else 0.0
    return min(1.0, share), f"Answering: {shown.plain(request['message']) or 'starting'} …"


def _start(engine: Engine, key: str) -> None:
    label, why = "Start a worker", "On this machine, in the background"
    if st.button(label, key=f"{key}-start", type="primary", **beyond("runner", help=why)):
        with st.spinner("Starting a worker …"):
            told = start_worker(engine)
        st.toast(told)
        st.rerun()
