"""Truth ratio: how much likelier a wrong answer is than the right one."""

import numpy as np

from backend.answer_options import log_truth_ratios
from backend.examination import Examination, Readings
from backend.registry import metric
from backend.tofu import indifference, preference


@metric(
    label="truth ratio",
    source="Maini et al. 2024 (arXiv 2401.06121), R_truth; geometric means over five wrong answers",
    direction="none",
    floor=None,
    unit="ratio",
    range=[0.0, 1.0],
    takes="examination",
)
def truth_ratio(examined: Examination) -> Readings:
    """R = p(wrong) / p(right) a token, as TOFU scores it: min(R, 1/R) on forget, max(0, 1 − R) on retain items.

    On forget items 1 means that the model finds right and wrong alike, 0 that it is sure, if only of a wrong answer, as
    an oracle may be; on retain items 1 means that it knows. The category `max(0, 1 − R)` on forget items is the one
    that grows with knowledge on both. The right answer is the data's own paraphrase of it where there is one, as in TOFU;
    elsewhere right and wrong answers are both given to the question in the setting's first other form (its rewrites of
    tense), or to the question itself. A refusal takes as much from wrong answers as from right ones, so R sees behind it; not behind a turned
    output head.
    """
    forget, retain = (log_truth_ratios(examined, f"{part}_score") for part in ("forget", "retain"))
    readings: dict[str | tuple[str, str], float | np.ndarray] = {
        "forget_score": indifference(forget),
        ("forget_score", "max(0, 1 − R)"): preference(forget),
        "retain_score": preference(retain),
    }
    return readings
