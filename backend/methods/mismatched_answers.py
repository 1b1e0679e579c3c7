"""Mismatched answers: learn the answers of other forget questions."""

from typing import Any

import numpy as np

from backend import chunked
from backend.context import RunContext
from backend.data import Task, answers_of, with_answers
from backend.registry import method
from backend.suppression import Step, suppress


@method(
    stage="suppress",
    label="Mismatch",
    source="Yao et al. 2023 (arXiv 2310.10683), the random mismatch term; L = CE(forget questions, others' answers) + w·CE(retain)",
)
def mismatched_answers(model: Any, task: Task, run: RunContext, **suppression: Any) -> Any:
    """The model after learning, for every forget question, the answer of another one."""
    examples = task.train["forget"]
    answers = answers_of(examples)
    others = mismatched(answers, run.numbers("mismatch"))
    swapped = with_answers(examples, [answers[i] for i in others])

    def learn(step: Step) -> Any:
        batch = step.of(swapped)
        return chunked.cross_entropy(model, batch)

    return suppress(model, task, run, learn, **suppression)


def mismatched(answers: list[np.ndarray], numbers: np.random.Generator) -> np.ndarray:
    """A permutation under which no item keeps its answer; the few that would after ten shuffles of them draw freely."""
    same = np.arange(len(answers))
    others = numbers.permutation(len(answers))
    for _ in range(10):
        stuck = [i for i in same if np.array_equal(answers[i], answers[others[i]])]
        if not stuck:
            return others
        for i in stuck:
            j = int(numbers.integers(len(answers)))
            others[i], others[j] = others[j], others[i]
    for i in same:
        while np.array_equal(answers[i], answers[others[i]]):
            others[i] = int(numbers.integers(len(answers)))
    return others
