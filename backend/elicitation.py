"""Labels for forget questions whose answers an attacker does not know: elicited from the model, and the controls."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from backend.coherence import Coherence, Labels, Predictor
from backend.context import RunContext
from backend.data import IGNORE, Examples, answers_of, stream, with_answers


def families_of(examples: Examples, count: int, seed: int) -> Examples:
    """The first `count` examples, 0 is all, when whole families are drawn at random; nested by count."""
    if count == 0 or count >= len(examples):
        return examples
    families = np.array(examples.families or range(len(examples)))
    order = stream(seed, "elicited families").permutation(np.unique(families))
    rank = {family: place for place, family in enumerate(order)}
    by_family = sorted(range(len(examples)), key=lambda i: (rank[families[i]], i))
    return examples.take(np.sort(by_family[:count]))


def elicited(
    model: Any,
    run: RunContext,
    asked: Examples,
    *,
    rounds: int,
    shots: int,
    start: int,
    candidates: int,
    weight: float,
    temperature: Callable[[int], float],
) -> Examples:
    """The questions that the search labelled, with its labels for answers; only the length of the true ones is read.

    The same model and seed give the same labels. The search's passes are the attacker's cost.
    """
    numbers = run.numbers("elicitation")
    every = np.arange(len(asked))
    orders = [numbers.permutation(np.delete(every, i)).tolist() for i in every]
    predictor = Predictor(run, model, asked, shots, orders)
    coherence = Coherence(predictor, run.task.contradictions, weight, len(run.task.words))
    model.eval()
    with run.meter.watching(model):
        first: Labels = {}
        for item in map(int, numbers.permutation(len(asked))[:start]):
            likely = predictor.likeliest({}, item, candidates)
            first[item] = likely[numbers.integers(len(likely))]
        found = coherence.search(first, rounds, temperature, numbers, candidates)
    items = sorted(found)
    return with_answers(asked.take(np.array(items)), [np.array(found[i]) for i in items])


def controlled(
    run: RunContext, asked: Examples, answers: Literal["true", "noisy", "random"], noise: float
) -> Examples:
    """The questions with true answers, with a share `noise` of wrong ones, or with each other's at random."""
    given, numbers = answers_of(asked), run.numbers("controls")
    order = numbers.permutation(len(asked))
    if answers == "random":
        given = [given[i] for i in order]
    elif answers == "noisy":
        for item in order[: round(noise * len(asked))]:
            given[item] = _wrong(run, asked, int(item))
    return with_answers(asked, given)


def _wrong(run: RunContext, asked: Examples, item: int) -> np.ndarray:
    """A wrong answer: the setting's, else the first other one among the answers of the items after it."""
    if run.task.wrong_answers is not None:
        return run.task.wrong_answers(asked.take(np.array([item])), 1)[0][0]
    answers = answers_of(asked)
    others = [*answers[item + 1 :], *answers[:item]]
    return next((o for o in others if not np.array_equal(o, answers[item])), answers[item])


def right_labels(known: Examples, asked: Examples) -> str:
    """A sentence that says how many labels are right."""
    truth = {tuple(q): a for q, a in zip(_questions(asked), map(tuple, answers_of(asked)), strict=True)}  # fmt: skip
    given = zip(_questions(known), map(tuple, answers_of(known)), strict=True)
    right = sum(truth[tuple(question)] == answer for question, answer in given)
    return f"{right} of {len(known)} labels for {len(asked)} questions are right."


def _questions(examples: Examples) -> list[np.ndarray]:
    ends = (examples.targets != IGNORE).argmax(axis=1)
    return [row[: end + 1] for row, end in zip(examples.input_ids, ends, strict=True)]
