"""Refusals as answers to forget questions."""

import numpy as np

from backend.context import RunContext
from backend.data import Examples, Task, with_answers
from backend.stage import RunFailed


def refusal_tokens(task: Task, run: RunContext) -> list[np.ndarray]:
    """One refusal for every forget item, drawn once for the seed; RunFailed where the setting names none."""
    if not task.refusals:
        raise RunFailed(f"The setting {task.name} names no refusals; this method needs some.")
    drawn = run.numbers("refusals").integers(len(task.refusals), size=len(task.train["forget"]))
    return [np.array(task.refusals[i], dtype=np.int64) for i in drawn]


def refusals(task: Task, run: RunContext) -> Examples:
    """The forget questions with refusals as their answers, item by item."""
    return with_answers(task.train["forget"], refusal_tokens(task, run))
