"""Negative flips: what the base answered right and the model does not."""

import numpy as np

from backend.examination import Examination, Readings
from backend.registry import metric


@metric(
    label="negative flips",
    source="Yan et al. 2021 (arXiv 2011.09161), negative flip rate",
    direction="down",
    better="down",
    floor=None,
    unit="share",
    range=[0.0, 1.0],
    level="pair",
    takes="examination",
)
def negative_flips(examined: Examination) -> Readings:
    """The share of all items that the base answers right and the model wrong: damage on retain, effect on forget items.

    An even accuracy can hide it, since gains elsewhere make up for it. Greedy answers: a refusal counts as forgotten.
    """
    return {split: _flipped(examined, split) for split in ("retain_score", "forget_score")}


def _flipped(examined: Examination, split: str) -> np.ndarray:
    before, after = (examined.scores(split, role).correct for role in ("base", "model"))
    return (before & ~after).astype(float)
