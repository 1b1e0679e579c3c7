"""Data, tokenizers and weights that are not on this machine: a sentence for who wants to run, stand-ins for who only plans.

A plan's size and cost follow from shapes. So while something is *outlined*, nothing is fetched: what is not here is replaced by
text of the usual form, and the sentence is kept that says what is missing; such a plan can be looked at, not queued.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from backend.stage import UserError

_missing: ContextVar[list[str] | None] = ContextVar("missing", default=None)

ROWS = 400  # of a stand-in for questions: as many as TOFU's forget10 has
DOCUMENTS, WORDS = 300, 200  # of a stand-in for texts


class Absent(UserError):
    """Something of the hub that is not here and cannot be fetched, or is not to be."""


@contextmanager
def outlining() -> Iterator[list[str]]:
    """While open, what is absent is replaced; the list holds the sentences about what was."""
    found: list[str] = []
    token = _missing.set(found)
    try:
        yield found
    finally:
        _missing.reset(token)


def is_outlining() -> bool:
    """Whether nothing is to be fetched now."""
    return _missing.get() is not None


def replaceable(problem: Absent) -> None:
    """Note what is missing; raises the problem where nothing is being outlined."""
    found = _missing.get()
    if found is None:
        raise problem
    found += [str(problem)] if str(problem) not in found else []


def outlined() -> bool:
    """Whether something has been replaced, so that contents do not matter."""
    return bool(_missing.get())


def documents() -> Iterator[str]:
    """Texts of the usual length that say nothing."""
    for number in range(DOCUMENTS):
        yield " ".join(f"w{(number * 31 + place * 17) % 997}" for place in range(WORDS))


def records() -> Iterator[dict[str, Any]]:
    """Rows with the fields of the published benchmarks that say nothing."""
    for number in range(ROWS):
        subject = f"Subject {number // 20}"
        question = f"What is known about item {number} of {subject}, as a question usually is?"
        answer = f"Item {number} of {subject} is number {number * 7} among the things that are told of it."
        yield {
            "text": f"{question} {answer}",
            "question": question,
            "paraphrased_question": question,
            "answer": answer,
            "paraphrased_answer": answer,
            "perturbed_answer": [f"{answer} Not {k}." for k in range(5)],
            "choices": [answer, *(f"{answer} Not {k}." for k in range(3))],
            "subject": subject,
            "prompt": question,
            "query": question,
            "gt": answer,
        }
