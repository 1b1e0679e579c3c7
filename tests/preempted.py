"""A run on Slurm whose machine a job of a higher partition takes away, and one whose time is too short.

`python -m tests.preempted` works in LETHE_HOME, inside the cluster of `tests.clusters.SLURM`; prints how it went as JSON.
"""

import json
import subprocess
from typing import Any

from sqlalchemy import Engine, text

from backend.checkpoints import resume_step
from db import reads, session, writes
from tests.engine_at_work import ENDLESS, at_work, base, wait, worker

OPTIONS = ["memory_gb=1", "minutes=20"]
SHORT = ["memory_gb=1", "minutes=3", "warning_seconds=110"]  # told a minute after it began, or so
STEPS = 8000
RIVAL = ["sbatch", "--partition=high", "--exclusive", "--mem=1000", "--time=1", "--output=/dev/null", "--wrap=sleep 5"]  # fmt: skip


def events(engine: Engine, run_id: int) -> list[str]:
    """What happened to the run, in order."""
    query = text("SELECT kind FROM event WHERE run_id = :run ORDER BY id")
    with engine.connect() as c:
        return [str(row[0]) for row in c.execute(query, {"run": run_id})]


def main() -> dict[str, Any]:
    """What happened."""
    engine = session.require_database()
    told: dict[str, Any] = {}
    with worker(engine, "slurm", OPTIONS):
        taken = base(engine, STEPS, 0)
        wait(engine, taken, at_work)
        subprocess.run(RIVAL, check=True, capture_output=True)
        wait(engine, taken, lambda row: row["state"] == "complete")
    with worker(engine, "slurm", SHORT):
        cut = base(engine, ENDLESS, 1)
        wait(engine, cut, lambda row: row["attempt"] == 2 and at_work(row))
        told["short resumed at"] = resume_step(session.home(), (reads.run(engine, cut) or {})["fingerprint"])  # fmt: skip
        writes.request_cancel(engine, [cut])
        wait(engine, cut, lambda row: row["state"] == "cancelled")
    told["events"] = {"taken": events(engine, taken), "cut": events(engine, cut)}
    return told


if __name__ == "__main__":
    print(json.dumps(main()))
