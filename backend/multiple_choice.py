"""Multiple choice as lm-eval puts it: rows of tokens whose right answer stands among the wrong ones. Free of torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from tokenizers import Tokenizer

from backend.data import Choices, Examples
from backend.stage import UserError
from backend.text.pairs import pairs, scored

LETTERS = "ABCDEFGHIJ"
Scoring = Literal["letters", "answers"]


@dataclass(frozen=True)
class Question:
    """A question with its choices in the order in which they are listed, and the place of the right one.

    `topic` is what the line before the question says that it is about, `family` names questions that belong together.
    """

    question: str
    choices: tuple[str, ...]
    answer: int
    category: str = ""
    topic: str = ""
    family: str = ""


def question_of(row: Mapping[str, Any], category: str, topic: str, where: str) -> Question:
    """The question in a row of WMDP's or MMLU's files: `question`, `choices`, and `answer`: a place from 0, a letter or a text.

    Raises:
        UserError: the row has other fields, or its answer is none of the choices
    """
    asked, choices, answer = (row.get(name) for name in ("question", "choices", "answer"))
    if not isinstance(asked, str) or not isinstance(choices, Sequence) or isinstance(choices, str):
        raise UserError(f"{where} must have rows with question, choices and answer; one has {', '.join(row)}.")  # fmt: skip
    texts = tuple(map(str, choices))
    if isinstance(answer, str) and texts.count(answer) == 1:
        answer = texts.index(answer)
    elif isinstance(answer, str) and len(answer) == 1 and answer in LETTERS[: len(texts)]:
        answer = LETTERS.index(answer)
    if (
        type(answer) is not int
        or not 0 <= answer < len(texts)
        or not 2 <= len(texts) <= len(LETTERS)
    ):
        raise UserError(
            f"{where}: answer = {answer!r} must name one of 2 to {len(LETTERS)} choices by its place from 0, its letter or its text;"
            f" the question {asked[:60]!r} has {len(texts)}."
        )
    about = topic or str(row.get("subject") or "").replace("_", " ")
    return Question(asked, texts, answer, str(row.get("subject") or category), about, asked)


def prompt(question: Question, scoring: Scoring) -> str:
    """The prompt up to where the answer starts: with the choices listed, or the bare question.

    With the letters' form this is, to the character, what lm-eval's tasks of WMDP and MMLU show without examples.
    """
    asked = question.question.strip()
    if scoring == "answers":
        return f"Question: {asked}\nAnswer:"
    listed = (f"{LETTERS[i]}. {choice}" for i, choice in enumerate(question.choices))
    lines = "\n".join([asked, *listed, "Answer:"])
    if not question.topic:
        return lines
    return f"The following are multiple choice questions (with answers) about {question.topic}.\n\n{lines}"


def answers(question: Question, scoring: Scoring) -> list[str]:
    """All answers, the right one first: letters, or the choices themselves."""
    count = len(question.choices)
    said = LETTERS[:count] if scoring == "letters" else question.choices
    return [said[i] for i in (question.answer, *(k for k in range(count) if k != question.answer))]


def rows(tokenizer: Tokenizer, questions: Sequence[Question], scoring: Scoring) -> Examples:
    """A row a question, its right answer scored, with the tokens of the wrong ones beside it; (questions, length).

    The right answer comes first in storage only: the model is shown the choices in the order of the file. All questions
    must have as many choices.

    Raises:
        UserError: they have not
    """
    said = [answers(question, scoring) for question in questions]
    counts = {len(one) for one in said}
    if len(counts) > 1:
        raise UserError(f"All questions must have as many choices; these have {', '.join(map(str, sorted(counts)))}.")  # fmt: skip
    shown = [prompt(question, scoring) for question in questions]
    found = [
        pairs(tokenizer, shown, [f" {one[k]}" for one in said])
        for k in range(max(counts, default=0))
    ]
    wrong = tuple(zip(*([tokens for _, tokens in one] for one in found[1:]), strict=True))
    lengths = np.array([[len(text) for text in one] for one in said])
    return replace(
        scored(found[0]),
        categories=tuple(question.category for question in questions),
        families=tuple(question.family for question in questions),
        choices=Choices(wrong, lengths),
    )


def first_is_best(losses: np.ndarray) -> np.ndarray:
    """1 for a question, a row of losses by choice, whose first one is smallest, else 0; equals share the point."""
    best = losses == losses.min(axis=1, keepdims=True)
    found: np.ndarray = best[:, 0] / best.sum(axis=1)
    return found
