"""Test data: a study in the database, written through the real functions. No number here was measured."""

import sys
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from sqlalchemy import Engine

from backend import plan, study
from db import reads, writes
from db.session import require_database

WORKER = "test-worker"
ITEMS = {
    "forget_score": 324,
    "forget_validation": 158,
    "retain_score": 540,
    "retain_validation": 540,
}
CATEGORIES = {"forget": ("×", "÷"), "retain": ("+", "−"), "placebo": ("⊗", "⊘")}
# Method, α: forget before, forget after the attack, retain, cost as a share of the oracle. Invented, but plausible.
MODELS: dict[tuple[str, Any], tuple[float, float, float, float]] = {
    ("base", None): (1.0, 1.0, 1.0, 1.0),
    ("oracle", None): (0.03, 0.05, 0.99, 1.0),
    ("grad_diff", None): (0.06, 0.89, 1.0, 0.05),
    ("max_ent", None): (0.03, 0.86, 1.0, 0.05),
    ("undo", 0.2): (0.03, 0.51, 0.965, 0.10),
    ("undo", 0.4): (0.02, 0.30, 0.97, 0.13),
    ("undo", 0.6): (0.02, 0.16, 0.975, 0.16),
    ("undo", 0.8): (0.02, 0.11, 0.97, 0.30),
    ("undo", 0.9): (0.02, 0.09, 0.968, 0.75),
    ("distill", None): (0.02, 0.07, 0.98, 0.70),
    ("rmu", None): (0.07, 0.83, 0.99, 0.06),
}  # fmt: skip

Held = tuple[Engine, int, int]


def seed_study(
    engine: Engine,
    overrides: Collection[str] = (),
    fail: Collection[str] = (),
    stop_after: int | None = None,
    name: str = "quick",
) -> int:
    """Submit a shipped study and play its runs; how many were played.

    Runs of the stages or methods in `fail` fail. With `stop_after` the rest waits, the next run being at work.
    """
    resolved = study.resolve(study.load(name, list(overrides)))
    title = resolved.document["name"]
    writes.submit(engine, name=title, document=resolved.document, runs=plan.as_rows(resolved.runs))
    writes.register_worker(engine, WORKER, "test", 1, 2)
    played = 0
    while claim := writes.claim(engine, WORKER, 3600):
        row = reads.run(engine, claim.run_id) or {}
        if stop_after is not None and played >= stop_after:
            _half_way(engine, claim, row)
            return played
        _play(engine, claim, row, bool({row["stage"], row["name"]} & set(fail)))
        played += 1
    writes.stop_worker(engine, WORKER)
    return played


def _play(engine: Engine, claim: writes.Claim, row: Mapping[str, Any], fails: bool) -> None:
    held = (engine, claim.run_id, claim.attempt)
    writes.begin(*held, {"device": "cpu", "threads": 1, "git": "0000000", "note": "test data"}, 0)
    if fails:
        trace = 'Traceback (most recent call last):\n  File "test.py", line 1\nRunFailed: test data'
        writes.fail(*held, "The loss is not a number at step 40 (test data).", trace)
        return
    if row["stage"] == "evaluate":
        _evaluated(held, row)
    elif row["stage"] == "attack":
        _attacked(held, row)
    else:
        _trained(held, row, 12)
    share = _model(engine, row)[3] if row["stage"] not in ("evaluate", "attack") else 0.02
    steps = int(1200 * share)
    ledger = {
        "steps": steps, "tokens": steps * 768, "flops": 1e12 * share, "seconds": 90.0 * share,
        "peak_memory": 500_000_000, "note": None, "chosen": None,
    }  # fmt: skip
    writes.complete(*held, ledger)


def _half_way(engine: Engine, claim: writes.Claim, row: Mapping[str, Any]) -> None:
    held = (engine, claim.run_id, claim.attempt)
    writes.begin(*held, {"device": "cpu"}, 0)
    _trained(held, row, 6)
    writes.heartbeat(*held, 3600, 600, 1200, "loss 1.23")


def _trained(held: Held, row: Mapping[str, Any], points: int) -> None:
    rows = [
        {"metric": metric, "split": "train", "step": 100 * k, "value": scale * np.exp(-k / 4) + 0.02}
        for metric, scale in (("loss", 4.0), ("retain_loss", 3.0))
        for k in range(points)
    ]  # fmt: skip
    writes.record(*held, measurements=[{**r, "value": float(r["value"])} for r in rows])


def _model(engine: Engine, row: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """What the model knows that this run is, or that it looks at."""
    if row["stage"] in ("evaluate", "attack"):
        row = reads.run(engine, row["parent"]["id"]) or {}
    alpha = row["parameters"].get("alpha") if row["name"] == "undo" else None
    before, after, retain, share = MODELS[row["name"], alpha]
    shift = 0.01 * (row["seed"] % 10)
    return max(0.0, before - shift), max(0.0, after - 2 * shift), retain - shift / 2, share


def _evaluated(held: Held, row: Mapping[str, Any]) -> None:
    before, _, retain, _ = _model(held[0], row)
    rows, items, samples = [], [], []
    for split, count in ITEMS.items():
        value = before if split.startswith("forget") else retain
        rows += _figures(split, value, 0, count)
        items.append(_items(split, value, 0, count))
        samples += _answers(split, value, 0)
    writes.record(*held, measurements=rows, items=items, samples=samples)


def _attacked(held: Held, row: Mapping[str, Any]) -> None:
    before, after, _, _ = _model(held[0], row)
    target, steps = row["parameters"]["target"], row["parameters"]["steps"]
    before, after = (0.01, 0.02) if target == "placebo" else (before, after)
    speed = max(0.1, 1 - 0.3 * abs(np.log10(row["parameters"]["learning_rate"] / 1e-3)))
    rows, items, samples = [], [], []
    for step in range(0, steps + 1, row["parameters"]["evaluate_every"]):
        risen = before + (after - before) * speed * (1 - float(np.exp(-step / 25)))
        for part in ("score", "validation"):
            split = f"{target}_{part}"
            rows += _figures(split, risen, step, 324)
        items.append(_items(f"{target}_score", risen, step, 324))
        if step + row["parameters"]["evaluate_every"] > steps:
            samples = _answers(f"{target}_score", risen, step)
    writes.record(*held, measurements=rows, items=items, samples=samples)


def _figures(split: str, value: float, step: int, count: int) -> list[dict[str, Any]]:
    about = {"split": split, "step": step, "standard_error": 0.01}
    rows = [{**about, "metric": "answer_accuracy", "value": value, "items": count}]
    rows.append({**about, "metric": "loss", "value": 4 * (1 - value) + 0.05, "items": count})
    for sign, name in zip((-1, 1), CATEGORIES[split.partition("_")[0]], strict=True):
        shifted = min(1.0, max(0.0, value + sign * 0.02))
        rows.append(
            {
                **about,
                "metric": "answer_accuracy",
                "value": shifted,
                "category": name,
                "items": count // 2,
            }
        )
    return rows  # fmt: skip


def _items(split: str, value: float, step: int, count: int) -> dict[str, Any]:
    right = (np.arange(count) < round(value * count)).astype(np.float32)
    return {"metric": "answer_accuracy", "split": split, "step": step, "values": right}


def _answers(split: str, value: float, step: int) -> list[dict[str, Any]]:
    sign = CATEGORIES[split.partition("_")[0]][0]
    rows = []
    for k in range(8):
        right = k < round(value * 8)
        expected = str((k + 2) * (k + 3))
        rows.append(
            {"split": split, "step": step, "item": k, "category": sign,
             "question": f"{k + 2} {sign} {k + 3} =", "expected": expected,
             "answer": expected if right else "**17** <b>!</b>", "correct": right}
        )  # fmt: skip
    return rows


if __name__ == "__main__":
    seed_study(require_database(), sys.argv[1:])
