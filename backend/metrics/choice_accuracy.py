"""Choice accuracy: the share of multiple-choice questions whose right answer is the likeliest."""

import numpy as np

from backend.evaluation import Scores
from backend.multiple_choice import first_is_best
from backend.registry import metric
from backend.stage import NotApplicable


@metric(
    label="choice accuracy",
    source="lm-eval's acc of its tasks wmdp and mmlu; Li et al. 2024, WMDP (arXiv 2403.03218)",
    direction="up",
    floor="choices",
    unit="share",
    range=[0.0, 1.0],
)
def choice_accuracy(scores: Scores) -> np.ndarray:
    """1 for a question whose right answer has the largest log-probability, 0 for another; equals share the point.

    lm-eval gives equals to the one that is listed first; real models have none. The floor is that of four choices. It sees
    an answer behind a refusal, which takes as much from all choices; nothing behind a turned output head.
    """
    if scores.choices is None:
        raise NotApplicable("there is nothing to choose among")
    return first_is_best(scores.choices)
