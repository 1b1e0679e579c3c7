"""Answer probability: the geometric mean of the answer's token probabilities."""

import numpy as np

from backend.evaluation import Scores
from backend.registry import metric


@metric(
    label="probability",
    source="Maini et al. 2024 (arXiv 2401.06121), P(a | q)^(1/|a|)",
    direction="up",
    floor=0.0,
    unit="probability",
    range=[0.0, 1.0],
)
def probability(scores: Scores) -> np.ndarray:
    """exp(−loss a token) of every item's true answer.

    It sees an answer behind a refusal as long as that leaves it some probability; nothing behind a turned output head.
    """
    return np.exp(-scores.loss / scores.tokens)
