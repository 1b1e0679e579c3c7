"""Two slots against one: how much faster an attack grid is worked off."""

import tempfile
from pathlib import Path
from typing import Any

from backend import plan, study

STUDY: dict[str, Any] = {
    "name": "slots",
    "setting": {"name": "arithmetic", "base_steps": 20},
    "seeds": [0],
    "recipes": [],
    "attacks": [{"name": "relearn", "learning_rate": [1e-4, 3e-4, 1e-3, 3e-3], "steps": 150}],
}


def run() -> dict[str, float]:
    """The ratio of cells a second, two slots over one; the ideal on two free cores is 2."""
    seconds = {slots: _grid_seconds(slots) for slots in (1, 2)}
    return {"two_slots_vs_one": seconds[1] / seconds[2], "seconds_with_one": seconds[1]}


def _grid_seconds(slots: int) -> float:
    """Wall time from the first cell's claim to the last one's end, in a database of its own."""
    import os

    from backend.worker import work
    from db import reads, session, writes

    resolved = study.resolve(STUDY)
    before = {name: os.environ.get(name) for name in ("LETHE_HOME", "LETHE_DATABASE_URL")}
    with tempfile.TemporaryDirectory() as folder:
        # Slots are processes of their own: they find the database through the environment.
        os.environ["LETHE_HOME"] = folder
        os.environ.pop("LETHE_DATABASE_URL", None)
        try:
            engine = session.require_database()
            rows = plan.as_rows(resolved.runs)
            done = writes.submit(engine, name="slots", document=resolved.document, runs=rows)
            assert work(engine, slots=slots, until_idle=True, home=Path(folder))
            runs = reads.study_runs(engine, done.study_id)
            engine.dispose()
        finally:
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    cells = runs[runs["stage"] == "attack"]
    return float((cells["finished_at"].max() - cells["started_at"].min()).total_seconds())
