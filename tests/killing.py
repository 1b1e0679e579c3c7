"""Workers as processes that tests kill, and what must be true after that."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy import text

from db import reads

ROOT = Path(__file__).parent.parent
WORK = """
import sys
from backend.worker import work
from db.session import require_database
sys.exit(not work(require_database(), slots=int(sys.argv[1]), until_idle=True, lease_seconds=float(sys.argv[2])))
"""


def start_worker(slots, lease=2.0):
    return subprocess.Popen([sys.executable, "-c", WORK, str(slots), str(lease)], cwd=ROOT)


def slots_of(process):
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def kill(*pids):
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def completions(engine):
    with engine.connect() as c:
        query = "SELECT run_id, count(*) FROM event WHERE kind = 'complete' GROUP BY run_id"
        return {row[0]: row[1] for row in c.execute(text(query))}


def assert_done_once(engine):
    runs = reads.study_runs(engine, 1)
    assert set(runs["state"]) == {"complete"}, runs["error"].dropna().tolist()
    assert completions(engine) == dict.fromkeys(runs["id"], 1)


def wait_for_work(engine, process, seconds):
    """Until some run is at work, and then that long."""
    while reads.counts(engine)["running"] == 0 and process.poll() is None:
        time.sleep(0.02)
    time.sleep(seconds)
