"""Refusal rate: how often the greedy answer is one of the setting's refusals."""

import numpy as np

from backend.data import Examples
from backend.examination import Examination, Readings
from backend.generation import generated
from backend.registry import metric
from backend.stage import NotApplicable


@metric(
    label="refusal rate",
    source="Maini et al. 2024 (arXiv 2401.06121), answers of the kind “I don't know”",
    direction="none",
    floor=None,
    unit="share",
    range=[0.0, 1.0],
    takes="examination",
)
def refusal_rate(examined: Examination) -> Readings:
    """The share of forget, retain and never-seen items whose greedy answer begins with a refusal, token by token.

    A refusal in other words is not counted. High on forget and low on never-seen items, it gives away what was to be
    forgotten; high on retain items, it is a cost.
    """
    if not examined.task.refusals:
        raise NotApplicable(f"the setting {examined.task.name} names no refusals")
    splits = ["forget_score", "retain_score", examined.task.unseen]
    return {split: _refused(examined, examined.examples(split)) for split in splits if split}


def _refused(examined: Examination, examples: Examples) -> np.ndarray:
    refusals = [np.array(tokens) for tokens in examined.task.refusals]
    found = generated(examined.of(), examples, length=max(map(len, refusals)))[0]
    begins = [(found[:, : len(tokens)] == tokens).all(axis=1) for tokens in refusals]
    return np.any(begins, axis=0).astype(float)
