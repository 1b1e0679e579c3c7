"""What is running, what waits, what failed?"""

import app

app.guard()

import streamlit as st  # noqa: E402
from sqlalchemy import Engine  # noqa: E402

from db import reads as database  # noqa: E402
from db import writes  # noqa: E402
from pages.components import queue_view, reads, shown  # noqa: E402
from pages.components.disk_view import disk_line  # noqa: E402
from pages.components.machine_view import machines  # noqa: E402
from pages.components.pulse import pulse  # noqa: E402
from pages.components.signing_in import beyond  # noqa: E402
from pages.components.starting import start_worker, worker_alive  # noqa: E402

BACKGROUND = "On this machine, in the background; it goes on when this page is closed."
UNHARMED = "What runs goes back to the queue unharmed"


def controls(engine: Engine) -> None:
    """Worker and queue as a whole."""
    alive, paused = worker_alive(engine), database.paused(engine)
    with st.container(horizontal=True):
        if st.button(
            "Start a worker",
            type="secondary" if alive else "primary",
            **beyond("runner", disabled=alive, help=BACKGROUND),
        ):
            with st.spinner("Starting a worker …"):
                st.session_state["started"] = start_worker(engine)
            st.rerun()
        if alive and st.button("Stop the worker", **beyond("runner", help=UNHARMED)):
            stop(engine)
        if st.button("Continue the queue" if paused else "Pause the queue", **beyond("runner")):
            writes.set_paused(engine, not paused)
            st.rerun()
    told = st.session_state.pop("started", "")
    if told:
        (st.success if alive else st.error)(told)
    if paused:
        st.warning("The queue is paused: what runs goes on, nothing new is begun.")


def stop(engine: Engine) -> None:
    """Ask every living worker to stop."""
    for worker in database.living_workers(engine)["id"]:
        writes.request_stop(engine, worker)
    st.toast("The worker stops once its runs have handed over their state.")


def live(engine: Engine) -> None:
    """Pulse, totals and what runs now, redrawn every two seconds while there is work, else every ten."""
    counts = database.counts(engine)
    busy = counts["running"] + counts["waiting"] - counts["blocked"] > 0
    alive, seen = worker_alive(engine), database.finished_version(engine)

    @st.fragment(run_every=2 if busy or alive else 10)
    def follow() -> None:
        if (worker_alive(engine), database.finished_version(engine)) != (alive, seen):
            st.rerun()
        st.markdown(pulse(database.workers(engine)))
        queue_view.totals(engine)
        queue_view.running(engine)

    follow()


def page() -> None:
    """Workers, what runs, what waits, what failed, what is blocked, what happened."""
    st.title("Jobs")
    st.markdown("**What is running, what waits, what failed?**")
    engine = reads.engine()
    if engine is None:
        reads.nothing_yet("Nothing was submitted yet.")
    else:
        controls(engine)
        live(engine)
        disk_line(engine)
        queue_view.waiting(engine)
        queue_view.failed(engine)
        queue_view.blocked(engine)
        machines(engine)
        queue_view.happened(engine)
        st.caption(f"Files of all runs on disk: {shown.size(database.disk_used(engine))}.")


page()
