"""Data that has nothing to do with what was forgotten, and texts to be learnt as a whole."""

from dataclasses import replace

import numpy as np

from backend.data import IGNORE, Examples, Task
from backend.stage import NotApplicable


def benign_examples(task: Task) -> Examples:
    """The retain training data without anything that belongs to a fact of the forget data.

    A run may see forget items among its retain data (unlabelled ones, or those of later requests), and a question may
    stand in both; whoever has such an item does not train on benign data.

    Raises:
        NotApplicable: nothing is left
    """
    retain, forget = task.train["retain"], [task.train["forget"]]
    forget += [part for name, part in task.splits.items() if name.startswith("forget_")]
    families = {family for part in forget for family in part.families}
    questions = {_key(row) for part in forget for row in part.input_ids}
    named = retain.families or ("",) * len(retain)
    kept = [
        place
        for place, (row, family) in enumerate(zip(retain.input_ids, named, strict=True))
        if family not in families and _key(row) not in questions
    ]
    if not kept:
        raise NotApplicable("the setting has no data that is free of forget items")
    return retain.take(np.array(kept)) if len(kept) < len(retain) else retain


def as_text(examples: Examples) -> Examples:
    """The same rows with every token but the first to be predicted, the question's too, up to the answer's end."""
    scored = examples.targets != IGNORE
    last = scored.shape[1] - 1 - scored[:, ::-1].argmax(axis=1)
    targets = np.full_like(examples.targets, IGNORE)
    for row, end in enumerate(last):
        targets[row, :end] = examples.input_ids[row, 1 : end + 1]
        targets[row, end] = examples.targets[row, end]
    return replace(examples, targets=targets)


def _key(row: np.ndarray) -> bytes:
    """A row without what fills it up on the right."""
    return bytes(np.trim_zeros(row.astype("<i8"), "b").tobytes())
