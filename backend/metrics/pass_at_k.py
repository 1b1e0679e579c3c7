"""Pass at k: whether one of k drawn answers is right, which greedy decoding would hide."""

from math import comb

import numpy as np

from backend.examination import Examination, Readings
from backend.generation import as_correct, generated
from backend.registry import Count, Rate, metric


@metric(
    label="pass@k",
    source="Chen et al. 2021 (arXiv 2107.03374), eq. 1: 1 − C(n − c, k) / C(n, k)",
    direction="up",
    floor=0.0,
    unit="share",
    range=[0.0, 1.0],
    takes="examination",
)
def pass_at_k(examined: Examination, *, draws: Count = 16, temperature: Rate = 0.7) -> Readings:
    """The chance that at least one of k drawn answers is right, for k = 1, 4 and all draws, which is the value shown.

    It finds an answer that stands behind a refusal with a probability of a few per cent; a model that knows nothing
    still guesses some, which the oracle shows.

    Args:
        draws: answers drawn to every question, and the largest k
        temperature: what logits are divided by before a token is drawn
    """
    readings: dict[str | tuple[str, str], float | np.ndarray] = {}
    for split in ("forget_score", "retain_score"):
        examples = examined.examples(split)
        generator = examined.run.generator(f"pass at k {split}")
        found = generated(
            examined.of(), examples, temperature=temperature, tries=draws, generator=generator
        )
        right = as_correct(examples, found).sum(axis=0)
        for k in sorted({1, min(4, draws), draws}):
            readings[split, f"k = {k}"] = _at(right, draws, k)
        readings[split] = _at(right, draws, draws)
    return readings


def _at(right: np.ndarray, draws: int, k: int) -> np.ndarray:
    """The unbiased estimate for every item, from how many of its draws were right."""
    return np.array([1.0 - comb(draws - int(c), k) / comb(draws, k) for c in right])
