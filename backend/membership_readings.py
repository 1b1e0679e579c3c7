"""What every membership inference reports of a checkpoint: forget items against items that no model was trained on."""

from collections.abc import Callable

import numpy as np

from backend.examination import Examination, Readings
from backend.membership import auc, true_positives_at

FALSE_POSITIVES = (0.01, 0.001)

# (examination, split, role) → the statistic of every item, larger for what looks less like a member.
Statistic = Callable[[Examination, str, str], np.ndarray]


def membership_readings(examined: Examination, statistic: Statistic) -> Readings:
    """AUC under the split `model`, its distance from the oracle's and the true positives at few false ones beside it.

    The statistic of every item stands under the split of members and that of unseen items, for the ROC curve
    (`backend.membership.roc`).

    Raises:
        NotApplicable: the setting has no items that no model was trained on
    """
    members, others = statistics_of(examined, statistic, "model")
    of_model = auc(members, others)
    readings: dict[str | tuple[str, str], float | np.ndarray] = {
        "model": of_model,
        examined.task.members: members,
        str(examined.task.unseen): others,
    }
    for rate in FALSE_POSITIVES:
        readings["model", f"tpr at {rate:g}"] = true_positives_at(members, others, rate)
    if "oracle" in examined.run.request.inputs:
        of_oracle = auc(*statistics_of(examined, statistic, "oracle"))
        readings["model", "oracle"] = of_oracle
        readings["model", "distance to oracle"] = abs(of_model - of_oracle)
    return readings


def statistics_of(
    examined: Examination, statistic: Statistic, role: str
) -> tuple[np.ndarray, np.ndarray]:
    """The statistic of the forget and of the unseen items under the model in that role."""
    splits = (examined.task.members, examined.task.unseen)
    for split in splits:
        examined.examples(split)
    found = [statistic(examined, str(split), role) for split in splits]
    return found[0], found[1]
