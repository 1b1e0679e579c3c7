"""Membership by loss against compressed length: what is predicted better than it is simple."""

import zlib

import numpy as np

from backend.data import answers_of
from backend.examination import Examination, Readings
from backend.membership_readings import membership_readings
from backend.registry import metric


@metric(
    label="membership: zlib",
    source="Carlini et al. 2021 (arXiv 2012.07805), §5.2: loss a token over the text's bytes after zlib",
    direction="up",
    floor=0.5,
    unit="AUC",
    range=[0.0, 1.0],
    takes="examination",
)
def mia_zlib(examined: Examination) -> Readings:
    """AUC of an item's mean loss over the compressed length of its scored text; readings as of the loss itself.

    Texts of a few letters compress to nearly the same length, so that there it comes close to the loss,
    and sees as much behind a refusal.
    """
    return membership_readings(examined, _per_byte)


def _per_byte(examined: Examination, split: str, role: str) -> np.ndarray:
    scores = examined.scores(split, role)
    texts = [examined.task.text(answer) for answer in answers_of(examined.examples(split))]
    return scores.loss / scores.tokens / [len(zlib.compress(text.encode())) for text in texts]
