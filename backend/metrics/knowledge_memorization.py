"""Knowledge memorisation: MUSE's second and fourth criteria."""

from backend.examination import Examination, Readings
from backend.registry import metric
from backend.rouge import f1_of


@metric(
    label="knowledge memorisation",
    source="Shi et al. 2024, MUSE (arXiv 2407.06460), C2 on forget and C4 on retain questions: ROUGE-L F1",
    direction="up",
    floor=0.0,
    unit="share",
    range=[0.0, 1.0],
    takes="examination",
)
def knowledge_memorization(examined: Examination) -> Readings:
    """ROUGE-L F1 of the greedy answers to forget and to retain questions; the latter is MUSE's utility.

    In the setting `muse` its examples stand before a question, and an answer has 32 tokens at most; elsewhere none do,
    and it is cut to the true one's length. It reads what is written only, so it is blind behind a refusal.
    """
    return {split: f1_of(examined, split) for split in ("forget_score", "retain_score")}
