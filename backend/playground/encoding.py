"""A reader's text as the tokens of a setting; free of torch."""

import json
import re
from collections.abc import Sequence

import numpy as np

from backend.data import Task
from backend.stage import UserError
from backend.text.questions import Template
from backend.text.tokenizers import ENDS, beginning_of, parsed

# What people write for signs that a setting of arithmetic has.
ALIKE = {"*": "×", "x": "×", "X": "×", "·": "×", "/": "÷", ":": "÷", "-": "−", "–": "−"}


def tokens_of(task: Task, text: str, template: Template | None = None) -> list[int]:
    """The tokens of a prompt, in the template where one is given, and with what begins every text of the tokenizer.

    Raises:
        UserError: the tokenizer does not know a part of it; the sentence names that part and what it knows
    """
    if not task.tokenizer:
        return _words(task.words, text)
    tokenizer = parsed(task.tokenizer)
    whole = template(text) if template else text
    ids = _known(task, whole)
    begun = beginning_of(tokenizer)
    return ids if ids[: len(begun)] == begun else begun + ids


def answer_tokens(task: Task, prompt: str, answer: str) -> np.ndarray:
    """The tokens of an expected answer as they stand behind a prompt: after a blank, unless one is there."""
    if not task.tokenizer:
        return np.array(_words(task.words, answer), dtype=np.int64)
    blank = "" if prompt[-1:].isspace() or answer[:1].isspace() else " "
    return np.array(_known(task, blank + answer), dtype=np.int64)


def _known(task: Task, text: str) -> list[int]:
    """The tokens of a text; UserError where its tokenizer puts one that means *unknown*."""
    found = parsed(task.tokenizer).encode(text, add_special_tokens=False)
    unknown = json.loads(task.tokenizer)["model"].get("unk_token")
    if unknown in found.tokens:
        start, end = found.offsets[found.tokens.index(unknown)]
        raise UserError(
            f"The tokenizer does not know {text[start:end]!r}; it has {len(task.words)} tokens, {_some(task.words)}."
        )
    return list(found.ids)


def _some(words: Sequence[str]) -> str:
    """A few of the tokens, as an impression."""
    plain = [word for word in words if word.isalnum()]
    return "such as " + ", ".join(repr(word) for word in plain[:: max(1, len(plain) // 5)][:5])


def _words(words: Sequence[str], text: str) -> list[int]:
    number = {word: place for place, word in enumerate(words)}
    found = []
    for piece in text.split():
        parts = [piece] if piece in number else re.findall(r"\d+|[^\W\d_]+|\S", piece)
        for part in parts:
            known = part if part in number else ALIKE.get(part, part)
            if known not in number:
                raise UserError(f"The tokenizer does not know {part!r}; it knows {_listed(words)}.")
            found.append(number[known])
    return found


def _listed(words: Sequence[str]) -> str:
    """All words of a small vocabulary in one phrase."""
    numbers = [int(word) for word in words if word.isdecimal()]
    others = [word for word in words if not word.isdecimal()]
    told = [f"the numbers {min(numbers)} … {max(numbers)}"] if numbers else []
    return " and ".join([*told, " ".join(others)])


def end_token(task: Task) -> int | None:
    """The token that ends a text; None where a setting has none."""
    if not task.tokenizer:
        return None
    numbers = (parsed(task.tokenizer).token_to_id(word) for word in ENDS)
    return next((int(number) for number in numbers if number is not None), None)
