"""Whole texts of items, and what a model writes when it may go on after a question."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from backend.data import IGNORE, Examples
from backend.generation import generated
from backend.prompts import completed
from backend.text.pairs import scored


def as_texts(texts: Sequence[np.ndarray], starts: Sequence[int]) -> Examples:
    """Examples in which every token of a text from its start on is scored; token 0 never is, nothing comes before it.

    Shorter rows are filled up on the right with token 0, which is not scored either.
    """
    pairs = zip(texts, starts, strict=True)
    return scored([(text[:start].tolist(), text[start:]) for text, start in pairs])


def whole_texts(examples: Examples) -> Examples:
    """Question and answer of every item as one text, each token after the first one scored."""
    return as_texts(completed(examples), [1] * len(examples))


def continued(model: Any, examples: Examples, tokens: int) -> np.ndarray:
    """The greedy continuations of every question, `tokens` long, shape (items, tokens).

    Longer than the answer on purpose: answers of one token hold no pair of words to count.
    """
    return generated(model, examples, length=tokens)[0]


def after_questions(examples: Examples, written: np.ndarray) -> Examples:
    """Every question with what was written after it (items, tokens), of which each token is scored."""
    ends = (examples.targets != IGNORE).argmax(axis=1) + 1
    rows = zip(examples.input_ids, ends, written, strict=True)
    return as_texts([np.concatenate([row[:end], text]) for row, end, text in rows], ends.tolist())


def n_grams(tokens: np.ndarray, n: int) -> np.ndarray:
    """How often each different n-gram occurs in a row of tokens; empty where the row is shorter than n."""
    if len(tokens) < n:
        return np.zeros(0, dtype=np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(tokens, n)
    return np.unique(windows, axis=0, return_counts=True)[1]
