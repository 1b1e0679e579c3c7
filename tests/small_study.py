"""Plans for tests of the queue: made-up runs that nobody does, and a real study that takes seconds."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Engine, update

from backend import plan, study
from db import reads, session, writes
from db.models import Worker, now
from db.writes import Submitted

SETTING = {"name": "arithmetic", "addends": 6, "factors": 6, "base_steps": 30, "batch_size": 32}


def database(folder: Path, monkeypatch: Any) -> Engine:
    """A new database: in the folder, which is the data directory too, unless the test brings another one."""
    monkeypatch.setenv("LETHE_HOME", str(folder))
    return session.require_database()


def run(fingerprint: str, parent: str | None = None, **changes: Any) -> dict[str, Any]:
    """A made-up run, in the form in which plans are submitted."""
    row: dict[str, Any] = {
        "fingerprint": fingerprint,
        "stage": "suppress" if parent else "base",
        "name": "made_up",
        "version": 1,
        "parameters": {},
        "setting": {"name": "arithmetic", "parameters": {}, "content_hash": "0"},
        "precision": "fp32",
        "seed": 0,
        "parent": parent,
        "inputs": {},
    }
    return {**row, **changes}


def submit(engine: Engine, *runs: dict[str, Any], name: str = "study") -> Submitted:
    """Submit made-up runs."""
    return writes.submit(engine, name=name, document={"name": name}, runs=runs)


def submit_real(engine: Engine, **setting: Any) -> Submitted:
    """Submit a study of the quick study's shape that takes seconds: 28 runs, none longer than one."""
    source = {
        "name": "small",
        "setting": {**SETTING, **setting},
        "recipes": [
            {"suppress": {"name": "grad_diff", "steps": 3}},
            {
                "suppress": {"name": "max_ent", "steps": 3},
                "robustify": {"name": "undo", "alpha": [0.2, 0.6], "steps": 20},
            },
            {
                "suppress": {"name": "max_ent", "steps": 3},
                "robustify": {"name": "distill", "student": "random", "steps": 20},
            },
        ],
        "attacks": [{"name": "relearn", "learning_rate": [1e-3, 1e-2], "steps": 10}],
    }
    resolved = study.resolve(source)
    return writes.submit(
        engine, name="small", document=resolved.document, runs=plan.as_rows(resolved.runs)
    )


def submit_twentieth(engine: Engine, seeds: int = 1) -> Submitted:
    """Submit the quick study with a twentieth of its steps: the same 70 runs a seed, data and model."""
    overrides = [
        f"seeds={list(range(seeds))}",
        "setting.base_steps=60",
        "attacks.0.steps=8",
        "attacks.0.evaluate_every=2",
    ]
    overrides += [f"recipes.{recipe}.suppress.steps=3" for recipe in range(4)]
    for recipe in (2, 3):
        shorter = {"steps": 60, "warmup": 1, "check_every": 5}
        overrides += [f"recipes.{recipe}.robustify.{key}={n}" for key, n in shorter.items()]
    resolved = study.resolve(study.load("quick", overrides))
    return writes.submit(
        engine, name="quick", document=resolved.document, runs=plan.as_rows(resolved.runs)
    )


def numbers(engine: Engine) -> pd.DataFrame:
    """Every measurement of every run, by what identifies it on any machine."""
    frame = reads.measurements(engine, category=None)
    frame["run"] = frame["run"].map(reads.fingerprints(engine))
    key = ["run", "metric", "split", "category", "step"]
    assert not frame.duplicated(key).any()
    return frame.sort_values(key, ignore_index=True)


def lives(engine: Engine, worker_id: str, slots: int = 1) -> None:
    """A worker whose pulse is ahead of the clock, so that it does not die on a machine that stalls."""
    if worker_id not in set(reads.workers(engine)["id"]):
        writes.register_worker(engine, worker_id, "here", 1, slots)
    with engine.begin() as c:
        mine = update(Worker).where(Worker.id == worker_id)
        c.execute(mine.values(heartbeat_at=now() + timedelta(days=1)))
