"""Random labels: learn answers that were drawn blindly."""

from typing import Any

import numpy as np

from backend import chunked
from backend.context import RunContext
from backend.data import IGNORE, Task, answers_of, with_answers
from backend.registry import method
from backend.suppression import Step, suppress


@method(
    stage="suppress",
    label="Random labels",
    source="Zhang et al. 2024 (Unforgettable Generalization, arXiv 2409.02228); L = CE(forget questions, ỹ ~ U) + w·CE(retain)",
)
def random_labels(model: Any, task: Task, run: RunContext, **suppression: Any) -> Any:
    """The model after learning, for every forget question, tokens drawn from all that ever are answers."""
    examples = task.train["forget"]
    targets = np.concatenate([part.targets.ravel() for part in task.train.values()])
    labels = np.unique(targets[targets != IGNORE])
    numbers = run.numbers("random labels")
    drawn = [numbers.choice(labels, size=len(answer)) for answer in answers_of(examples)]
    relabelled = with_answers(examples, drawn)

    def learn(step: Step) -> Any:
        batch = step.of(relabelled)
        return chunked.cross_entropy(model, batch)

    return suppress(model, task, run, learn, **suppression)
