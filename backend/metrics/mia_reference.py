"""Membership by loss against a reference: what is predicted better than by a model that never saw it."""

import numpy as np

from backend.examination import Examination, Readings
from backend.membership_readings import membership_readings
from backend.registry import metric
from backend.stage import NotApplicable


@metric(
    label="membership: reference",
    source="Carlini et al. 2021 (arXiv 2012.07805), §5.2; the oracle as the reference model",
    direction="up",
    floor=0.5,
    unit="AUC",
    range=[0.0, 1.0],
    level="pair",
    takes="examination",
)
def mia_reference(examined: Examination) -> Readings:
    """AUC of an item's mean loss less the oracle's, which never saw it; readings as of the loss itself.

    What makes unseen items harder as such drops out. The oracle itself has no difference to itself and is n/a.
    What a refusal takes from all items alike it takes from both sides, so it hides little.
    """
    readings = membership_readings(examined, _against_oracle)
    if not np.any(readings[examined.task.members]):
        raise NotApplicable("the model is the reference itself")
    return readings


def _against_oracle(examined: Examination, split: str, role: str) -> np.ndarray:
    own, reference = (examined.scores(split, one) for one in (role, "oracle"))
    return own.loss / own.tokens - reference.loss / reference.tokens
