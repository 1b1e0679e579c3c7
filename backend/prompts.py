"""Other prompts for the same questions: what is put before a question, and between it and its answer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from backend.data import IGNORE, Examples, answers_of, with_answers
from backend.stage import NotApplicable


def completed(examples: Examples) -> list[np.ndarray]:
    """Every question with its answer, as one array of tokens each, without what fills rows up."""
    found = []
    for row, answer in zip(examples.input_ids, examples.targets, strict=True):
        scored = np.flatnonzero(answer != IGNORE)
        found.append(np.concatenate([row[: scored[0] + 1], answer[scored]]))
    return found


def prefixed(examples: Examples, contexts: Sequence[np.ndarray], behind: int = 0) -> Examples:
    """The same questions after other text, which is read and not scored; shorter rows are filled up on the right.

    The text stands behind the first so many tokens, those that begin every text of a model.
    """
    questions = [
        row[: np.flatnonzero(target != IGNORE)[-1] + 1]
        for row, target in zip(examples.input_ids, examples.targets, strict=True)
    ]
    length = max(len(c) + len(q) for c, q in zip(contexts, questions, strict=True))
    input_ids = np.zeros((len(examples), length), dtype=np.int64)
    targets = np.full_like(input_ids, IGNORE)
    for row, (context, question) in enumerate(zip(contexts, questions, strict=True)):
        end = len(context) + len(question)
        input_ids[row, :end] = np.concatenate([question[:behind], context, question[behind:]])
        targets[row, len(context) : end] = examples.targets[row, : len(question)]
    return replace(examples, input_ids=input_ids, targets=targets, identity="")


def prefilled(examples: Examples, begun: Sequence[int]) -> Examples:
    """The same questions with the answer begun by these tokens."""
    start = np.array(begun, dtype=np.int64)
    begun_rows = with_answers(examples, answers_of(examples), [start] * len(examples))
    return replace(begun_rows, choices=examples.choices)


def begun_truly(examples: Examples, given: int) -> Examples:
    """The same questions with the first `given` tokens of the true answer read and not scored.

    The last token of an answer is always asked for; NotApplicable where no answer has more than one, or where answers are
    chosen and not written.
    """
    if examples.choices:
        raise NotApplicable("answers are chosen among several, so none can be begun")
    targets = examples.targets.copy()
    if (targets != IGNORE).sum(axis=1).max() < 2:
        raise NotApplicable("every answer has one token, so no part of it can be given away")
    for row in targets:
        scored = np.flatnonzero(row != IGNORE)
        row[scored[: min(given, len(scored) - 1)]] = IGNORE
    return replace(examples, targets=targets)


def shown_before(
    examples: Examples,
    known: Examples,
    count: int,
    seed: int = 0,
    own: Sequence[Sequence[np.ndarray]] = (),
) -> Examples:
    """The same questions after `count` completed ones, drawn for every row from strangers to it.

    Strangers are of another family or, where the facts have none, another text: what is asked never stands in the
    prompt. Unless `own` holds such texts for every row; they are mixed with the others. Fewer are shown where `known`
    has no more.
    """
    texts = completed(known)
    strangers = _strangers(examples, known, texts)
    generator = np.random.default_rng(seed)
    contexts = []
    for row in range(len(examples)):
        order = generator.permutation(len(texts))
        shown = [texts[i] for i in order[strangers(row)[order]][:count]]
        if own:
            mixed = [*shown, *own[row]]
            shown = [mixed[i] for i in generator.permutation(len(mixed))]
        contexts.append(np.concatenate([np.zeros(0, dtype=np.int64), *shown]))
    return prefixed(examples, contexts)


def _strangers(examples: Examples, known: Examples, texts: list[np.ndarray]) -> Any:
    """A function of a row that says which of the known texts may stand before it, shape (known,)."""
    if known.families and examples.families:
        families = np.array(known.families)
        return lambda row: families != examples.families[row]
    mine, theirs = [t.tobytes() for t in completed(examples)], [t.tobytes() for t in texts]
    return lambda row: np.array([text != mine[row] for text in theirs], dtype=bool)


def fitting(examples: Examples, model: Any) -> Examples:
    """The same examples; NotApplicable where a row is longer than what the model can read."""
    room = getattr(model.config, "max_position_embeddings", None)
    # A wrapper's own prompt stands before the question too.
    length = examples.input_ids.shape[1] + len(getattr(model, "context", ()))
    if room is not None and length > room:
        raise NotApplicable(f"the prompts have {length} tokens and the model reads {room} at most")
    return examples
