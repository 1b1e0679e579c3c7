"""Recall of RWKU's probes by level: fill-in-the-blank, questions, adversarial attacks, and those on neighbours."""

import numpy as np

from backend.examination import Examination, Readings
from backend.registry import metric
from backend.rouge import greedy_answers, rouge_l

LEVELS = ("FB", "QA", "AA")


@metric(
    label="probe recall",
    source="Jin et al. 2024, RWKU (arXiv 2406.10890): ROUGE-L recall of greedy answers by level",
    direction="up",
    floor=0.0,
    unit="share",
    range=[0.0, 1.0],
    takes="examination",
)
def probe_recall(examined: Examination) -> Readings:
    """Recall of the true answer's words, in their order, in the greedy answer: forget probes, and neighbours as retain.

    The categories are RWKU's levels, `FB`, `QA` and `AA`, and every type of adversarial probe. No stemming. It reads what is
    written only, so it is blind behind a refusal; the adversarial probes are there to get round one.
    """
    readings: dict[str | tuple[str, str], float | np.ndarray] = {}
    for split in ("forget_score", "retain_score"):
        pairs = greedy_answers(examined, split)
        values = np.array([rouge_l(truth, answer).recall for truth, answer in pairs])
        readings[split] = values
        kinds = np.array(examined.examples(split).categories)
        for kind in np.unique(kinds):
            readings[split, str(kind)] = values[kinds == kind]
        for level in LEVELS:
            mine = np.char.startswith(kinds.astype(str), level) if len(kinds) else kinds
            if mine.any():
                readings[split, level] = values[mine]
    return readings
