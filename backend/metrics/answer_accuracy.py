"""Answer accuracy: the share of questions that greedy decoding answers right."""

import numpy as np

from backend.evaluation import Scores
from backend.registry import metric


@metric(
    label="accuracy",
    source="Lee et al. 2025 (arXiv 2506.06278), greedy answers",
    formerly="accuracy",
    direction="up",
    floor=0.0,
    unit="share",
    range=[0.0, 1.0],
)
def answer_accuracy(scores: Scores) -> np.ndarray:
    """1 for an item whose every answer token is the likeliest one, else 0; a model that knows nothing scores 0.

    It reads the likeliest answer only: anything that stands before it, a refusal say, hides the knowledge from it.
    """
    return scores.correct.astype(np.float64)
