"""A study on a Ray cluster of two nodes, one of which dies with all its processes and is replaced later.

`python -m tests.node_loss SEEDS` works in LETHE_HOME, inside the cluster of `tests.clusters.RAY`; prints how it went as JSON.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time

import psutil
from sqlalchemy import Engine, text

from db import reads, session
from tests.killing import ROOT, kill
from tests.small_study import submit_twentieth

ADDRESS = "127.0.0.1:26379"
START = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={ADDRESS}", "--num-cpus=1", "--object-store-memory=100000000"]  # fmt: skip
WORK = [sys.executable, "-m", "backend", "work", "--until-idle", "--engine", "ray", "--engine-option", f"address={ADDRESS}", "--lease", "8"]  # fmt: skip


def complete(engine: Engine) -> int:
    """How many runs are done."""
    return reads.counts(engine)["complete"]


def wait_for(engine: Engine, more: int, worker: "subprocess.Popen[bytes]") -> None:
    """Until so many more runs are done."""
    goal = complete(engine) + more
    while complete(engine) < goal and worker.poll() is None:
        time.sleep(0.2)


def lose_a_node() -> int:
    """End the younger node and all that it does, as a power cut would; how many processes that were."""
    nodes = [one for one in psutil.process_iter(["name", "create_time"]) if one.info["name"] == "raylet"]  # fmt: skip
    youngest = max(nodes, key=lambda one: one.info["create_time"])
    lost = [youngest, *youngest.children(recursive=True)]
    for process in lost:
        kill(process.pid)
    return len(lost)


def serving() -> list[int]:
    """The processes that do runs."""
    found = subprocess.run(["pgrep", "-f", "backend run --serve"], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def main(seeds: int) -> dict[str, object]:
    """What happened."""
    engine, chance = session.require_database(), random.Random(5)
    submit_twentieth(engine, seeds)
    with engine.begin() as c:
        c.execute(text("UPDATE run SET attempts_allowed = 50"))
    worker = subprocess.Popen(WORK, cwd=ROOT, stdout=sys.stderr)
    told: dict[str, object] = {}
    wait_for(engine, 15, worker)
    told["processes lost"] = lose_a_node()
    wait_for(engine, 10, worker)
    subprocess.run(START, check=True, stdout=sys.stderr, env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"})  # fmt: skip
    for _ in range(4):
        wait_for(engine, 8, worker)
        # Both may just have been ended, and are replaced while there is work.
        while not (found := serving()) and worker.poll() is None:
            time.sleep(0.2)
        kill(*chance.sample(found, 1))
    told["status"] = worker.wait()
    deadline = time.monotonic() + 300
    while serving() and time.monotonic() < deadline:  # Ray takes its time to end them
        time.sleep(0.2)
    told["left"] = len(serving())
    for left in serving():
        os.kill(left, signal.SIGKILL)
    told["attempts"] = int(reads.study_runs(engine, 1)["attempt"].sum())
    return told


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
