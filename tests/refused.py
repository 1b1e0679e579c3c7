"""A worker whose jobs a real Slurm does not take.

`python -m tests.refused` works in LETHE_HOME, inside the cluster of `tests.clusters.SLURM`; prints how it went as JSON.
"""

import json
from typing import Any

from backend import starting
from backend.engines.choosing import chosen
from backend.engines.devices import Devices
from backend.worker import WorkerProblem, work
from db import reads, session
from tests.engine_at_work import base


def main() -> dict[str, Any]:
    """What the worker said, and what became of its runs."""
    starting.PAUSES = (0.1, 0.5)
    engine = session.require_database()
    runs = [base(engine, 30, seed) for seed in (0, 1)]
    place = chosen("slurm", ["memory_gb=1", "partition=nowhere"], Devices())
    told = ""
    try:
        work(engine, slots=2, until_idle=True, place=place)
    except WorkerProblem as problem:
        told = str(problem)
    found = [reads.run(engine, one) or {} for one in runs]
    left = [row["attempts_allowed"] - row["attempt"] for row in found]
    return {"told": told, "states": [row["state"] for row in found], "attempts left": left}


if __name__ == "__main__":
    print(json.dumps(main()))
