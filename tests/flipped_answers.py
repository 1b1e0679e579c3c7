"""Test data: questions and answers of items that flip under the attack of a seeded study. No answer here was given."""

from typing import Any

from sqlalchemy import Engine, insert

from backend.item_comparison import AFTER, SPLITS, compared
from db import reads
from db.models import Sample

WRONG = "**17** <b>!</b>"


def store_answers(
    engine: Engine, document: Any, runs: Any, pair: list[dict[str, Any]], step: int | None = None
) -> int:
    """Answers of two items of every seed that flip after the attack, at the counted step or another; how many items."""
    rows = []
    for one in compared(engine, document["seeds"], runs, pair, "answer_accuracy"):
        if one.place != AFTER:
            continue
        for item in one.changed.tolist()[:2]:
            for (run, counted), side in zip(one.keys, (one.one, one.other), strict=True):
                right = bool(side[item] > 0.5)
                rows.append(
                    {"run_id": run, "split": SPLITS[AFTER], "step": counted if step is None else step,
                     "item": item, "category": "×", "question": f"{item} × 2 =", "expected": str(2 * item),
                     "answer": str(2 * item) if right else WRONG, "correct": right, "attempt": 1}
                )  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(Sample), rows)
    return len(rows) // 2


def rows_and_runs(engine: Engine, document: dict[str, Any], names: list[str]) -> Any:
    """(the study's resolved document, its runs, the rows of these configurations) of the study `quick`."""
    rows = {row["configuration"]: row for row in document["rows"]}
    record = reads.study(engine, "quick")
    assert record is not None
    return record.document, reads.study_runs(engine, record.id), [rows[name] for name in names]
