"""A large database made fast: studies of real plans whose results are invented. No number here was measured.

`python -m tests.large_database DIR --runs 10000 --measurements 2000000` fills DIR.
"""

import argparse
import math
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, Engine, func, insert, select

from backend import plan, study
from db.arrays import encode
from db.models import Event, ItemValues, Measurement, Run, RunInput, Sample, Study, StudyRun, Worker
from db.models_marks import RunNote, RunTag
from db.session import require_database

# Every study with its recipes; all attack with the quick study's grid, so they share bases and suppressed models.
SHAPES = {
    "undo_alpha": '{suppress={name="max_ent", learning_rate=[3e-4, 1e-3]}, robustify={name="undo", alpha=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]}}',
    "suppression": '{suppress={name="max_ent", steps=[30, 60, 120]}}, {suppress={name="grad_diff", learning_rate=[1e-4, 3e-4, 1e-3, 3e-3]}}, {suppress={name="npo", learning_rate=[1e-4, 3e-4, 1e-3]}}, {suppress={name="rmu", learning_rate=[3e-4, 1e-3]}}',
    "undo_beta": '{suppress="max_ent", robustify={name="undo", alpha=[0.35, 0.65, 0.85], beta=[0.0, 0.05, 0.2, 0.5]}}',
    "students": '{suppress="max_ent", robustify={name="distill", student=["random", "base"], steps=[300, 600, 1200]}}, {suppress="grad_diff", robustify={name="distill", student=["random", "base"], steps=[300, 600, 1200]}}',
    "rates": '{suppress={name="max_ent", learning_rate=[1e-4, 3e-4, 3e-3], steps=[30, 120, 240]}, robustify={name="undo", alpha=0.4}}',
    "after_grad_diff": '{suppress={name="grad_diff", learning_rate=[3e-4, 1e-3]}, robustify={name="undo", alpha=[0.2, 0.4, 0.5, 0.6, 0.8]}}',
    "after_npo": '{suppress={name="npo", learning_rate=[3e-4, 1e-3]}, robustify={name="undo", alpha=[0.2, 0.4, 0.5, 0.6, 0.8]}}',
    "at_work": '{suppress={name="rmu", learning_rate=[3e-4, 1e-3]}, robustify={name="undo", alpha=[0.2, 0.4, 0.5, 0.6, 0.8]}}',
}  # fmt: skip
SMALL = ("undo_alpha", "at_work")
SPLITS = {"forget_score": 324, "forget_validation": 158, "retain_score": 540, "retain_validation": 540}  # fmt: skip
KINDS = {"forget": ("×", "÷"), "retain": ("+", "−")}
TAGS = ("paper", "baseline", "look again", "for the meeting")
BEGINNING = datetime(2026, 1, 5, 8, tzinfo=UTC)
CHUNK = 50_000
FIGURES = 4  # rows of one look at one split: two metrics, and one of them for each kind of item
UNSURE = 7919  # a prime: numbers that look random and are the same every time
WORKER = "large-worker"

Rows = list[dict[str, Any]]


class Made(NamedTuple):
    """What was made, and how long it took."""

    studies: int
    runs: int
    measurements: int
    seconds: float


class Known(NamedTuple):
    """What a model knows: forget facts before and after the attack, retain facts, and its cost over the oracle's."""

    before: float
    after: float
    retain: float
    cost: float


def fill(engine: Engine, runs: int, measurements: int) -> Made:
    """Add at least so many runs in several studies, and at least so many measurements."""
    began = time.perf_counter()
    with engine.begin() as c:
        first = c.execute(select(func.coalesce(func.max(Run.id), 0))).scalar_one() + 1
        rows, inputs, studies, held = _planned(runs, first)
        by_id = {row["id"]: row for row in rows}
        _decide(rows, by_id, inputs, {one["run_id"] for one in held if one["study_id"] == len(studies)})  # fmt: skip
        _store(c, rows, inputs, studies, held)
        ended = [row for row in rows if row["state"] == "complete"]
        made = _insert_numbers(c, Measurement, _figures(ended, by_id, measurements))
        _insert(c, ItemValues, _items(ended, by_id))
        _insert(c, Sample, _answers(ended, by_id))
        _mark(c, rows)
    return Made(len(studies), len(rows), made, time.perf_counter() - began)


def _planned(runs: int, first: int) -> tuple[Rows, Rows, Rows, Rows]:
    """Runs, inputs, studies, and who has which run: real plans, as many seeds as it takes."""
    rows: Rows = []
    inputs: Rows = []
    studies: Rows = []
    held: Rows = []
    ids: dict[str, int] = {}
    names = list(SHAPES) if runs >= 2000 else list(SMALL)
    for position, name in enumerate(names):
        known = len(rows)
        target = (runs - known) / (len(names) - position)
        one_seed = sum(run.fingerprint not in ids for run in _resolved(name, 1).runs)
        seeds = max(1, math.ceil(target / max(one_seed, 1)))
        resolved = _resolved(name, seeds)
        number = position + 1
        studies.append({"id": number, "name": name, "revision": 1, "origin": "run", "document": resolved.document, "created_at": BEGINNING + timedelta(days=position)})  # fmt: skip
        for place, planned in enumerate(resolved.runs):
            if planned.fingerprint not in ids:
                ids[planned.fingerprint] = first + len(rows)
                rows.append(_row(planned, ids))
                inputs += _given(planned, ids)
            held.append({"study_id": number, "run_id": ids[planned.fingerprint], "position": place})
    return rows, inputs, studies, held


@cache
def _resolved(name: str, seeds: int) -> study.Plan:
    overrides = [f'name="{name}"', f"seeds={list(range(seeds))}", f"recipes=[{SHAPES[name]}]"]
    return study.resolve(study.load("quick", overrides))


def _row(planned: plan.PlannedRun, ids: dict[str, int]) -> dict[str, Any]:
    copied = ("fingerprint", "stage", "name", "version", "parameters", "setting", "precision", "seed")  # fmt: skip
    return {
        **{name: getattr(planned, name) for name in copied},
        "id": ids[planned.fingerprint],
        "parent_id": ids[planned.parent] if planned.parent else None,
        "origin": "run",
        "state": "waiting",
        "attempt": 0,
    }


def _given(planned: plan.PlannedRun, ids: dict[str, int]) -> Rows:
    return [
        {"run_id": ids[planned.fingerprint], "role": role, "position": k, "input_id": ids[one]}
        for role, given in planned.inputs.items()
        for k, one in enumerate(given)
    ]


def _decide(rows: Rows, by_id: dict[int, Any], inputs: Rows, late: set[int]) -> None:
    """Who is complete, failed, cancelled, running or waiting; half of the last study's runs (`late`) come later."""
    needs: dict[int, list[int]] = {row["id"]: [row["parent_id"]] * bool(row["parent_id"]) for row in rows}  # fmt: skip
    for one in inputs:
        needs[one["run_id"]].append(one["input_id"])
    half, running = sorted(late)[len(late) // 2], 0
    for row in rows:
        above = [by_id[run] for run in needs[row["id"]]]
        stuck = [a.get("blocked_by") or a["id"] for a in above if a.get("blocked_by") or a["state"] in ("failed", "cancelled")]  # fmt: skip
        chance = row["id"] * UNSURE % 1000
        if stuck:
            row["blocked_by"] = min(stuck)
        elif any(a["state"] != "complete" for a in above):
            continue
        elif row["id"] > half and row["id"] in late:
            running += 1
            if running <= 2:
                _at_work(row)
        elif chance < (500 if row["stage"] == "robustify" else 200) and _fragile(row, by_id):
            _ended(row, "cancelled" if chance < 40 else "failed")
        else:
            _ended(row, "complete")


def _fragile(row: dict[str, Any], by_id: dict[int, Any]) -> bool:
    """Whether a run is one of those that may fail: of a few configurations, so that the others are whole."""
    looks = row["stage"] in ("evaluate", "attack")
    model = by_id[row["parent_id"]] if looks else row
    return model["parameters"].get("alpha") in (0.5, 0.65) or model["parameters"].get("student") == "base"  # fmt: skip


def _at_work(row: dict[str, Any]) -> None:
    moment = datetime.now(UTC)
    told = {"state": "running", "attempt": 1, "step": 40, "steps_total": 150, "message": "loss 1.2"}
    row |= {**told, "worker_id": WORKER, "lease_until": moment + timedelta(hours=1), "started_at": moment}  # fmt: skip


def _ended(row: dict[str, Any], state: str) -> None:
    began = BEGINNING + timedelta(seconds=40 * row["id"])
    row |= {"state": state, "attempt": 1, "started_at": began}
    row["finished_at"] = began + timedelta(seconds=30)
    if state == "failed":
        row["error"] = f"The loss is not a number at step {row['id'] % 90} (invented)."
        row["traceback"] = "Traceback (most recent call last):\nRunFailed: invented"
    if state == "complete":
        share = 0.02 if row["stage"] in ("evaluate", "attack") else _model(row).cost
        row |= {"steps": int(1200 * share), "tokens": int(1200 * share) * 768, "flops": 1e12 * share}  # fmt: skip
        row |= {"seconds": 90.0 * share + row["id"] % 7, "peak_memory": 500_000_000 + row["id"]}


def _model(row: dict[str, Any]) -> Known:
    """Invented, but plausible: noise makes forgetting last, and costs."""
    jitter = (row["id"] * UNSURE % 101 - 50) / 5000
    asked = row["parameters"]
    alpha = float(asked.get("alpha", 0.0))
    known = {
        "base": Known(0.99, 0.99, 0.99, 1.0),
        "oracle": Known(0.03, 0.06, 0.985, 1.0),
        "undo": Known(0.03, 0.9 * math.exp(-2.6 * alpha) + 0.05, 0.98 - 0.02 * alpha, 0.1 + 0.7 * alpha**3),
        "distill": Known(0.03, 0.09, 0.975, 0.8),
        "npo": Known(0.08, 0.8, 0.96, 0.07),
        "rmu": Known(0.07, 0.83, 0.975, 0.06),
    }.get(row["name"], Known(0.05, 0.86, 0.98, 0.05))  # fmt: skip
    before, after, retain = (min(1.0, max(0.0, value + jitter)) for value in known[:3])
    return Known(before, after, retain, known.cost)


def _store(c: Connection, rows: Rows, inputs: Rows, studies: Rows, held: Rows) -> None:
    every = {name: None for row in rows for name in row}
    created = [{**every, **row, "created_at": BEGINNING} for row in rows]
    _insert(c, Run, iter(created))
    _insert(c, RunInput, iter(inputs))
    _insert(c, Study, iter(studies))
    _insert(c, StudyRun, iter(held))
    ended = [row for row in rows if row["state"] not in ("waiting", "running")]
    told = [("claimed", "started_at")] + [(None, "finished_at")]
    happened = ({"run_id": row["id"], "kind": kind or row["state"], "text": "", "worker_id": WORKER, "created_at": row[at]} for row in ended for kind, at in told)  # fmt: skip
    _insert(c, Event, happened)
    moment = datetime.now(UTC)
    c.execute(insert(Worker), {"id": WORKER, "host": "here", "pid": 1, "slots": 2, "heartbeat_at": moment})  # fmt: skip


def _insert(c: Connection, table: Any, rows: Iterator[dict[str, Any]]) -> int:
    """Rows in parts, so that two million never lie in memory at once; how many there were."""
    count = 0
    while part := list(islice(rows, CHUNK)):
        c.execute(insert(table.__table__), part)
        count += len(part)
    return count


def _insert_numbers(c: Connection, table: Any, rows: Iterator[dict[str, Any]]) -> int:
    """The same where no value needs a conversion: twice as fast, which counts for millions."""
    compiled = insert(table.__table__).compile(dialect=c.dialect)
    order, count = compiled.positiontup, 0
    while part := list(islice(rows, CHUNK)):
        given: Any = part if order is None else [tuple(map(row.get, order)) for row in part]
        c.exec_driver_sql(str(compiled), given)
        count += len(part)
    return count


def _figures(ended: Rows, by_id: dict[int, Any], wanted: int) -> Iterator[dict[str, Any]]:
    """Every look of evaluations and attacks; what is left is losses of training."""
    looks = sum(len(_looks(row)) * FIGURES * len(_splits(row)) for row in ended)
    trained = [row for row in ended if row["stage"] != "evaluate"]
    points = max(4, math.ceil((wanted - looks) / max(1, len(trained))))
    for row in ended:
        stamp = {"run_id": row["id"], "attempt": 1}
        for step, level in _levels(row, by_id):
            for split in _splits(row):
                value = level if split.startswith("forget") else _subject(row, by_id).retain
                yield from _look(stamp, split, step, value)
        if row["stage"] != "evaluate":
            falling = 4 * np.exp(-np.arange(points) / (points / 4)) + 0.02
            for step, value in enumerate(falling.tolist()):
                yield {**stamp, "metric": "loss", "split": "train", "category": "", "step": step, "value": value, "standard_error": None, "items": None}  # fmt: skip


def _splits(row: dict[str, Any]) -> list[str]:
    if row["stage"] == "attack":
        return ["forget_score", "forget_validation"]
    return list(SPLITS) if row["stage"] == "evaluate" else []


def _looks(row: dict[str, Any]) -> list[int]:
    if row["stage"] != "attack":
        return [0]
    asked = row["parameters"]
    return list(range(0, asked["steps"] + 1, asked["evaluate_every"]))


def _subject(row: dict[str, Any], by_id: dict[int, Any]) -> Known:
    return _model(by_id[row["parent_id"]] if row["stage"] in ("evaluate", "attack") else row)


def _levels(row: dict[str, Any], by_id: dict[int, Any]) -> list[tuple[int, float]]:
    """What is known of the forget facts at every look."""
    known = _subject(row, by_id)
    rate = row["parameters"].get("learning_rate", 1e-3) if row["stage"] == "attack" else 1e-3
    speed = max(0.1, 1 - 0.3 * abs(math.log10(rate / 1e-3)))
    rise = (known.after - known.before) * speed
    return [(step, known.before + rise * (1 - math.exp(-step / 25))) for step in _looks(row)]


def _look(stamp: dict[str, Any], split: str, step: int, value: float) -> Iterator[dict[str, Any]]:
    about = {**stamp, "split": split, "step": step, "standard_error": 0.01, "items": SPLITS[split]}
    yield {**about, "metric": "answer_accuracy", "category": "", "value": value}
    yield {**about, "metric": "loss", "category": "", "value": 4 * (1 - value) + 0.05}
    for shift, kind in zip((-0.02, 0.02), KINDS[split.partition("_")[0]], strict=True):
        shifted = min(1.0, max(0.0, value + shift))
        yield {**about, "metric": "answer_accuracy", "category": kind, "value": shifted}


@cache
def _right(count: int, items: int) -> bytes:
    return encode((np.arange(items) < count).astype(np.float32))


def _items(ended: Rows, by_id: dict[int, Any]) -> Iterator[dict[str, Any]]:
    about = {"metric": "answer_accuracy", "split": "forget_score", "attempt": 1, "count": 324}
    for row in ended:
        if row["stage"] in ("evaluate", "attack"):
            for step, level in _levels(row, by_id):
                data = _right(round(level * 324), 324)
                yield {**about, "run_id": row["id"], "step": step, "data": data}


def _answers(ended: Rows, by_id: dict[int, Any]) -> Iterator[dict[str, Any]]:
    for row in (row for row in ended if row["stage"] == "evaluate"):
        for item in range(8):
            correct = item < round(8 * _subject(row, by_id).before)
            told = {"question": f"{item + 2} × {item + 3} =", "expected": str((item + 2) * (item + 3))}  # fmt: skip
            answer = told["expected"] if correct else "**17** <b>!</b>"
            yield {**told, "run_id": row["id"], "split": "forget_score", "step": 0, "item": item, "category": "×", "answer": answer, "correct": correct, "attempt": 1}  # fmt: skip


def _mark(c: Connection, rows: Rows) -> None:
    """Tags on a tenth of the runs, notes on a hundredth."""
    tagged = ({"run_id": row["id"], "tag": TAGS[row["id"] // 10 % len(TAGS)], "created_at": BEGINNING} for row in rows[::10])  # fmt: skip
    noted = ({"run_id": row["id"], "version": 1, "text": "Looks *odd* at the end.", "author": "Kim", "created_at": BEGINNING} for row in rows[::100])  # fmt: skip
    _insert(c, RunTag, tagged)
    _insert(c, RunNote, noted)


def main() -> None:
    """Fill the directory that the command line names."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("directory", type=Path)
    words.add_argument("--runs", type=int, default=10_000)
    words.add_argument("--measurements", type=int, default=2_000_000)
    given = words.parse_args()
    os.environ["LETHE_HOME"] = str(given.directory)
    os.environ.pop("LETHE_DATABASE_URL", None)
    made = fill(require_database(), given.runs, given.measurements)
    print(f"{made.studies} studies, {made.runs} runs, {made.measurements} measurements in {made.seconds:.1f} s")  # fmt: skip


if __name__ == "__main__":
    main()
