"""From what is asked to the items that models are asked: tokens of the question, tokens of the expected answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backend.data import IGNORE, Examples, Task
from backend.playground.encoding import answer_tokens, tokens_of
from backend.playground.requests import MOST_TOKENS
from backend.stage import UserError
from backend.text.templates import template_for


@dataclass(frozen=True)
class Item:
    """A question in tokens; `expected` is empty where nobody said what the answer is. `place` is its row in the split."""

    question: list[int]
    expected: np.ndarray
    category: str = ""
    subject: str = ""
    place: int | None = None


def items_of(task: Task, setting: Mapping[str, Any], asked: Mapping[str, Any]) -> list[Item]:
    """The items of a request, one at least.

    Raises:
        UserError: the setting has no such split or row, or the tokenizer does not know the prompt
    """
    if asked["kind"] == "free":
        return [_free(task, setting, asked)]
    split = asked["split"]
    examples = task.splits.get(split)
    if examples is None or not len(examples):
        known = ", ".join(name for name in task.splits if name.endswith("_score"))
        raise UserError(f"The setting {task.name} has no examples {split!r}; it has {known}.")
    places = asked["items"] if asked["kind"] == "items" else spread(len(examples), asked["count"])
    beyond = [place for place in places if not 0 <= place < len(examples)]
    if beyond:
        raise UserError(f"{split} has the examples 0 to {len(examples) - 1}, and no {beyond[0]}.")
    return [_item(task, examples, int(place)) for place in places]


def spread(rows: int, count: int) -> list[int]:
    """So many rows, or all where there are fewer, at even distances."""
    return np.unique(np.linspace(0, rows - 1, min(rows, count)).round().astype(int)).tolist()


def _free(task: Task, setting: Mapping[str, Any], asked: Mapping[str, Any]) -> Item:
    prompt, expected = asked["prompt"], asked["expected"].strip()
    template = None
    if asked["as_question"] and task.tokenizer:
        template = template_for(setting["parameters"].get("template", "plain"), task.model)
    question = tokens_of(task, prompt, template)
    if not question:
        raise UserError("The prompt has no token; write one, or take an example.")
    shown = template(prompt) if template else prompt
    said = answer_tokens(task, shown, expected) if expected else np.zeros(0, dtype=np.int64)
    return Item(question, said[:MOST_TOKENS])


def _item(task: Task, examples: Examples, row: int) -> Item:
    """A row of a split. Where every token of a text is scored, its first half is the prompt, its second the answer."""
    scored = np.flatnonzero(examples.targets[row] != IGNORE)
    first = int(scored[0])
    if first == 0 and len(scored) > 1:
        first = len(scored) // 2
        scored = scored[scored >= first]
    question = [int(token) for token in examples.input_ids[row, : first + 1]]
    said = np.asarray(examples.targets[row, scored], dtype=np.int64)[:MOST_TOKENS]
    return Item(
        question,
        said,
        examples.categories[row] if examples.categories else "",
        examples.subjects[row] if examples.subjects else "",
        row,
    )
