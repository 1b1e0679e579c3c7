"""What every engine owes: a run is done, stopped, lost and done again, handed back and gone on with.

`python -m tests.engine_at_work ENGINE [KEY=VALUE ...]` works in LETHE_HOME and prints what happened as JSON.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, text

from backend import plan, study
from backend.checkpoints import resume_step
from backend.engines.choosing import chosen
from backend.engines.devices import Devices
from backend.worker import work
from db import reads, session, writes
from tests.chaos import working_in

LEASE = 600.0  # what is lost is noticed by its end
PATIENCE = 900.0
ENDLESS = 40_000


def base(engine: Engine, steps: int, seed: int) -> int:
    """Submit one base of so many steps; its number."""
    source = {
        "name": f"of {steps}",
        "setting": {"name": "arithmetic", "addends": 6, "factors": 6, "base_steps": steps, "batch_size": 32},
        "seeds": [seed],
        "recipes": [{"suppress": {"name": "max_ent", "steps": 3}}],
        "attacks": [{"name": "relearn", "learning_rate": [1e-3], "steps": 10}],
    }  # fmt: skip
    resolved = study.resolve(source)
    rows = [row for row in plan.as_rows(resolved.runs) if row["stage"] == "base"]
    done = writes.submit(engine, name=source["name"], document=resolved.document, runs=rows)
    return int(reads.study_runs(engine, done.study_id)["id"].iloc[0])


@contextmanager
def worker(engine: Engine, name: str, options: list[str]) -> Any:
    """A worker of that engine in a thread, stopped afterwards."""
    place = chosen(name, options, Devices())
    thread = threading.Thread(target=work, args=(engine,), kwargs={"slots": 1, "lease_seconds": LEASE, "place": place})  # fmt: skip
    thread.start()
    try:
        yield
    finally:
        for one in reads.workers(engine)["id"]:
            writes.request_stop(engine, one)
        thread.join(PATIENCE)


def wait(engine: Engine, run_id: int, told: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Until the run is as told; its row."""
    deadline = time.monotonic() + PATIENCE
    while not told(row := reads.run(engine, run_id) or {}):
        assert time.monotonic() < deadline, (row["state"], row["step"], row["error"])
        time.sleep(0.2)
    return row


def at_work(row: dict[str, Any]) -> bool:
    """Whether it has made steps."""
    return row["state"] == "running" and (row["step"] or 0) > 0


def kill(run_id: int) -> None:
    """End the process that does the run, wherever it was started from; others' are left alone."""
    ours = set(working_in(session.home()))
    for pattern in (f"backend run {run_id} --attempt", "backend run --serve"):
        found = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True)
        pids = [int(pid) for pid in found.stdout.split() if int(pid) in ours]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        if pids:
            return
    raise AssertionError("no process does the run")


def scenario(name: str, options: list[str]) -> dict[str, Any]:
    """What happened to four runs."""
    engine = session.require_database()
    told: dict[str, Any] = {}
    with worker(engine, name, options):
        simple = base(engine, 30, 0)
        told["simple"] = wait(engine, simple, lambda row: row["state"] == "complete")["attempt"]
        cancelled = base(engine, ENDLESS, 1)
        wait(engine, cancelled, at_work)
        writes.request_cancel(engine, [cancelled])
        told["cancelled"] = wait(engine, cancelled, lambda row: row["state"] != "running")["state"]
        killed = base(engine, 4000, 2)
        wait(engine, killed, at_work)
        kill(killed)
        told["killed"] = wait(engine, killed, lambda row: row["state"] == "complete")["attempt"]
        stopped = base(engine, ENDLESS + 1, 3)
        wait(engine, stopped, at_work)
    row = reads.run(engine, stopped) or {}
    told["stopped"] = row["state"]
    told["resumes at"] = resume_step(session.home(), row["fingerprint"]) > 0
    writes.request_cancel(engine, [stopped])
    with engine.connect() as c:
        query = text("SELECT run_id, kind FROM event WHERE run_id IS NOT NULL ORDER BY id")
        told["events"] = {one: [kind for run, kind in c.execute(query) if run == one] for one in (simple, cancelled, killed, stopped)}  # fmt: skip
    return told


if __name__ == "__main__":
    print(json.dumps(scenario(sys.argv[1], sys.argv[2:])))
