"""Choice accuracy where the length of an answer does not count: lm-eval's acc_norm."""

import numpy as np

from backend.evaluation import Scores
from backend.multiple_choice import first_is_best
from backend.registry import metric
from backend.stage import NotApplicable


@metric(
    label="choice accuracy a character",
    source="lm-eval's acc_norm: log-probability over the answer's length in characters",
    direction="up",
    floor="choices",
    unit="share",
    range=[0.0, 1.0],
)
def choice_accuracy_norm(scores: Scores) -> np.ndarray:
    """1 for a question whose right answer has the largest log-probability a character, 0 for another; equals share the point.

    Where the answers are letters it equals the choice accuracy. The floor is that of four choices.
    """
    if scores.choices is None or scores.characters is None:
        raise NotApplicable("there is nothing to choose among")
    return first_is_best(scores.choices / scores.characters)
