"""Verbatim memorisation: MUSE's first criterion."""

from backend.examination import Examination, Readings
from backend.registry import metric
from backend.rouge import f1_of


@metric(
    label="verbatim memorisation",
    source="Shi et al. 2024, MUSE (arXiv 2407.06460), C1: ROUGE-L F1 of the greedy continuation",
    direction="up",
    floor=0.0,
    unit="share",
    range=[0.0, 1.0],
    takes="examination",
)
def verbatim_memorization(examined: Examination) -> Readings:
    """ROUGE-L F1 of the greedy continuation of the beginnings of forget texts, `verbatim_score`, by 128 tokens as in MUSE.

    A setting without such beginnings has its forget items continued, as many tokens as are scored of each. It reads what
    is written only: a refusal, or any other first token, hides all behind it.
    """
    split = "verbatim_score" if "verbatim_score" in examined.task.splits else "forget_score"
    return {split: f1_of(examined, split)}
