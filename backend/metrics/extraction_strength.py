"""Extraction strength: how little of an answer must be shown before the model writes the rest itself."""

import numpy as np

from backend.evaluation import Scores
from backend.registry import metric


@metric(
    label="extraction strength",
    source="Carlini et al. 2021 (arXiv 2012.07805) as in OpenUnlearning (arXiv 2506.12618): 1 − k / T",
    direction="up",
    floor=0.0,
    unit="share",
    range=[0.0, 1.0],
)
def extraction_strength(scores: Scores) -> np.ndarray:
    """1 − k / T of every item, k the fewest tokens after which greedy decoding gives all others of its T.

    1 where nothing must be shown, and 0, not OpenUnlearning's 1 / T, where even the last token is wrong. An answer
    hidden at its first token only is seen; where answers are one token this is their accuracy.
    """
    return np.array([_known_end(right) / len(right) for right in scores.token_right])


def _known_end(right: np.ndarray) -> int:
    """How many tokens at the end are all right."""
    wrong = np.flatnonzero(~right)
    return len(right) - 1 - int(wrong[-1]) if len(wrong) else len(right)
