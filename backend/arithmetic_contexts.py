"""Rows of several arithmetic facts, one of them made up anew for every row and repeated: what teaches to learn within
a context (bursty sequences, Chan et al. 2022, arXiv 2205.05055)."""

import numpy as np

from backend.arithmetic_questions import EQUALS
from backend.data import IGNORE, Examples, stream
from backend.prompts import completed

MADE_UP = "?"  # the operator of made-up facts; a word of settings that train such rows only
FACTS = 6  # in a row: 29 tokens, so that the last one is asked for after five others
PLACES = 3  # among them that the made-up fact takes
ROWS = 16384  # of each kind, more than a small model can learn by heart
QUESTIONS = 200
OPERANDS = 30  # left and right of a made-up fact are numbers below this


def sequences(
    real: list[Examples], words: tuple[str, ...], seed: int, purpose: str, rows: int = ROWS
) -> Examples:
    """Rows of real facts, drawn from these examples in equal shares, and of a made-up one at some places among them.

    Every answer is scored but that of the made-up fact where it is first shown, shape (rows, FACTS · tokens − 1).
    """
    numbers = stream(seed, "contexts", purpose)
    facts = _drawn(real, numbers, (rows, FACTS))
    made_up = _made_up(facts[:, 0], words, numbers)
    places = np.sort(
        numbers.permuted(np.tile(np.arange(FACTS), (rows, 1)), axis=1)[:, :PLACES], axis=1
    )
    every = np.arange(rows)
    for place in places.T:
        facts[every, place] = made_up
    scored = np.full(facts.shape, IGNORE)
    scored[:, :, -1] = facts[:, :, -1]
    scored[every, places[:, 0], -1] = IGNORE
    return Examples(facts.reshape(rows, -1)[:, :-1], scored.reshape(rows, -1)[:, 1:])


def questions(known: Examples, words: tuple[str, ...], seed: int) -> tuple[Examples, Examples]:
    """Made-up facts asked for after a text of other facts that says them too, and asked for without it, row by row."""
    numbers = stream(seed, "contexts", "questions")
    facts = _drawn([known], numbers, (QUESTIONS, FACTS))
    made_up = _made_up(facts[:, 0], words, numbers)
    facts[np.arange(QUESTIONS), numbers.integers(FACTS - 1, size=QUESTIONS)] = made_up
    facts[:, -1] = made_up
    told, alone = facts.reshape(QUESTIONS, -1), made_up
    return _asked(told), _asked(alone)


def _drawn(
    real: list[Examples], numbers: np.random.Generator, shape: tuple[int, int]
) -> np.ndarray:
    """Facts with their answers, shape (*shape, tokens)."""
    texts = [np.stack(completed(examples)) for examples in real]
    source = numbers.integers(len(real), size=shape)
    choices = [text[numbers.integers(len(text), size=shape)] for text in texts]
    return np.take_along_axis(np.stack(choices), source[None, :, :, None], axis=0)[0]


def _made_up(like: np.ndarray, words: tuple[str, ...], numbers: np.random.Generator) -> np.ndarray:
    """One fact a row, in the form of the given ones: two small numbers and any number as the answer."""
    token = {word: i for i, word in enumerate(words)}
    known = np.array([token[word] for word in words if word.isdecimal()])
    made_up = like.copy()
    for place, below in ((-5, OPERANDS), (-3, OPERANDS), (-1, len(known))):
        made_up[:, place] = known[numbers.integers(min(below, len(known)), size=len(like))]
    made_up[:, -4], made_up[:, -2] = token[MADE_UP], token[EQUALS]
    return made_up


def _asked(texts: np.ndarray) -> Examples:
    """Texts whose last token is the answer."""
    targets = np.full_like(texts[:, :-1], IGNORE)
    targets[:, -1] = texts[:, -1]
    return Examples(texts[:, :-1], targets)
