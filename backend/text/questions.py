"""Questions with answers as rows of tokens: the question is read, the answer is scored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from backend.data import Examples
from backend.text.pairs import scored
from backend.text.tokenizers import beginning_of, end_of

Template = Callable[
    [str], str
]  # a question as the model is shown it, up to where the answer starts


@dataclass(frozen=True)
class Asked:
    """A question and its answer; `family` names facts that belong together, `subject` what it is about."""

    question: str
    answer: str
    category: str = ""
    family: str = ""
    subject: str = ""


def plain(question: str) -> str:
    """The template of models that follow no instructions."""
    return f"Question: {question}\nAnswer:"


def rows(
    tokenizer: Tokenizer, items: Sequence[Asked], template: Template = plain, *, end: bool = True
) -> Examples:
    """A row an item: the question's tokens, then a blank and the answer's, of which all are scored, the end token too.

    The tokens that the tokenizer puts in front of a text stand there too, unless the template has written them. Rows are
    filled up on the right with token 0, which is not scored; shape (items, the longest one's length − 1).
    """
    begun = beginning_of(tokenizer)
    asked = [
        ids if ids[: len(begun)] == begun else begun + ids
        for ids in _encoded(tokenizer, [template(item.question) for item in items])
    ]
    said = answer_tokens(tokenizer, [item.answer for item in items], end=end)
    named = {"categories": "category", "families": "family", "subjects": "subject"}
    told: dict[str, Any] = {
        many: tuple(getattr(item, one) for item in items)
        if any(getattr(item, one) for item in items)
        else ()
        for many, one in named.items()
    }
    return replace(scored(list(zip(asked, said, strict=True))), **told)


def answer_tokens(tokenizer: Tokenizer, answers: Sequence[str], *, end: bool = True) -> list[np.ndarray]:  # fmt: skip
    """The tokens of answers as they stand behind a question: a blank, the text, the end token."""
    closing = [end_of(tokenizer)] if end else []
    return [np.array([*ids, *closing]) for ids in _encoded(tokenizer, [f" {a}" for a in answers])]


def _encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    found = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return [one.ids for one in found]
