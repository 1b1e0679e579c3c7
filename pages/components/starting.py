"""Starting a worker from a page: a process of its own that outlives the browser's tab and the server."""

import os
import subprocess
import sys
import time

from sqlalchemy import Engine

from db import reads
from db.session import home
from db.writes.guarded import needs
from pages.components.reads import root

PATIENCE_SECONDS = 10.0


@needs("runner")
def start_worker(engine: Engine) -> str:
    """Start one, unless one is alive; a sentence on how that went."""
    if worker_alive(engine):
        return "A worker is running already."
    logs = home() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with open(logs / "worker.log", "ab") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", "backend", "work"],
            cwd=root(),
            env={**os.environ, "LETHE_HOME": str(home().absolute())},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and started.poll() is None:
        if worker_alive(engine):
            return "A worker has started."
        time.sleep(0.1)
    if started.poll() is None:
        return "The worker is starting, which takes longer than usual; it shows here once it works."
    return f"The worker did not start; see {logs / 'worker.log'}."


def worker_alive(engine: Engine) -> bool:
    """Whether a pulse was seen lately."""
    workers = reads.workers(engine)
    return bool(len(workers)) and bool(workers["alive"].any())
