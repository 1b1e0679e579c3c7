"""Other prompts for the same questions: what is put before a question, and between it and its answer."""

from collections.abc import Sequence

import numpy as np

from backend.data import IGNORE, Examples, answers_of, with_answers


def completed(examples: Examples) -> list[np.ndarray]:
    """Every question with its answer, as one array of tokens each, without what fills rows up."""
    found = []
    for row, answer in zip(examples.input_ids, examples.targets, strict=True):
        scored = np.flatnonzero(answer != IGNORE)
        found.append(np.concatenate([row[: scored[0] + 1], answer[scored]]))
    return found


def prefixed(examples: Examples, contexts: Sequence[np.ndarray]) -> Examples:
    """The same questions after other text, which is read and not scored; shorter rows are filled up on the right."""
    questions = [
        row[: np.flatnonzero(target != IGNORE)[-1] + 1]
        for row, target in zip(examples.input_ids, examples.targets, strict=True)
    ]
    length = max(len(c) + len(q) for c, q in zip(contexts, questions, strict=True))
    input_ids = np.zeros((len(examples), length), dtype=np.int64)
    targets = np.full_like(input_ids, IGNORE)
    for row, (context, question) in enumerate(zip(contexts, questions, strict=True)):
        end = len(context) + len(question)
        input_ids[row, :end] = np.concatenate([context, question])
        targets[row, len(context) : end] = examples.targets[row, : len(question)]
    return Examples(input_ids, targets, examples.categories, examples.families, examples.subjects)


def prefilled(examples: Examples, begun: Sequence[int]) -> Examples:
    """The same questions with the answer begun by these tokens."""
    start = np.array(begun, dtype=np.int64)
    return with_answers(examples, answers_of(examples), [start] * len(examples))


def shown_before(examples: Examples, known: Examples, count: int, seed: int = 0) -> Examples:
    """The same questions after `count` completed ones, drawn for every row from others of its family's strangers.

    Nothing of the row's own family is shown, so what is asked never stands in the prompt.
    """
    texts = completed(known)
    generator = np.random.default_rng(seed)
    families = np.array(known.families) if known.families else None
    contexts = []
    for row in range(len(examples)):
        order = generator.permutation(len(texts))
        if families is not None and examples.families:
            order = order[families[order] != examples.families[row]]
        contexts.append(
            np.concatenate([np.zeros(0, dtype=np.int64), *(texts[i] for i in order[:count])])
        )
    return prefixed(examples, contexts)
