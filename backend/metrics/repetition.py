"""Repetition: how much of what the model writes it has just written."""

import numpy as np

from backend.continuations import continued, n_grams
from backend.examination import Examination, Readings
from backend.registry import Count, metric

LENGTHS = (2, 3, 4)


@metric(
    label="repetition",
    source="Welleck et al. 2020 (arXiv 1908.04319): seq-rep-n, the share of repeated n-grams",
    direction="down",
    floor=None,
    unit="share",
    range=[0.0, 1.0],
    takes="examination",
)
def repetition(examined: Examination, *, tokens: Count = 24) -> Readings:
    """1 − different n-grams / all n-grams of each greedy continuation of a question; 4-grams count, others stand beside.

    0 where nothing comes twice, near 1 in a loop. The model goes on after its answer, which may be one token long.
    It reads the output only, and says nothing of hidden knowledge.

    Args:
        tokens: length of a continuation
    """
    model = examined.of("model")
    found: dict[str | tuple[str, str], np.ndarray] = {}
    for split in ("forget_score", "retain_score"):
        rows = continued(model, examined.examples(split), tokens)
        for n in LENGTHS:
            values = np.array([_repeated(row, n) for row in rows])
            found[split if n == LENGTHS[-1] else (split, f"{n}-grams")] = values
    return found


def _repeated(row: np.ndarray, n: int) -> float:
    counts = n_grams(row, n)
    return 1 - len(counts) / counts.sum() if len(counts) else 0.0
