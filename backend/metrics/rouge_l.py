"""ROUGE-L between the greedy and the true answer."""

import numpy as np

from backend.examination import Examination, Readings
from backend.registry import metric
from backend.rouge import f1_of, recall_of


@metric(
    label="ROUGE-L",
    source="Lin 2004, by rouge-score; recall with stemming as in TOFU (arXiv 2401.06121)",
    direction="up",
    floor=0.0,
    unit="share",
    range=[0.0, 1.0],
    takes="examination",
)
def rouge_l(examined: Examination) -> Readings:
    """Recall of the true answer's words, in their order, in every greedy answer; F1 beside it, as a category.

    For recall the answer may be as long as the longest true one; for F1, without stemming as in MUSE, it is cut to its
    own true one's length. It reads what is written only, so it is blind behind a refusal, and the weakest evidence of
    forgetting (specs, meta-evaluation).
    """
    readings: dict[str | tuple[str, str], float | np.ndarray] = {}
    for split in ("forget_score", "retain_score"):
        readings[split] = recall_of(examined, split)
        readings[split, "F1"] = f1_of(examined, split)
    return readings
