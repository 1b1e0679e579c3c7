"""Exact memorisation: the share of an answer's tokens that the model would write itself."""

import numpy as np

from backend.evaluation import Scores
from backend.registry import metric


@metric(
    label="exact memorisation",
    source="Tirumala et al. 2022 (arXiv 2205.10770), definition 1: the mean over t of 1[argmax p(· | y_<t) = y_t]",
    direction="up",
    floor=0.0,
    unit="share",
    range=[0.0, 1.0],
)
def exact_memorization(scores: Scores) -> np.ndarray:
    """The share of every item's scored tokens that are the likeliest ones, given the true ones before them.

    An answer that is hidden at its first token only is seen from the second one on. Where answers are one token this is
    their accuracy, and blind behind a refusal.
    """
    return np.array([right.mean() for right in scores.token_right])
