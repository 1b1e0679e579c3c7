"""n-gram entropy: is what the model writes varied, or the same few words again and again?"""

import numpy as np

from backend.continuations import continued, n_grams
from backend.examination import Examination, Readings
from backend.registry import Count, metric

WEIGHTS = {2: 2 / 3, 3: 4 / 3}  # RWKU's, of pairs and of triples


@metric(
    label="n-gram entropy",
    source="RWKU's fluency (arXiv 2406.10890): ½ (⅔ H₂ + 4/3 H₃) in bits, after Zhang et al. 2018",
    direction="up",
    floor=None,
    unit="bits",
    range=[0.0, None],
    takes="examination",
)
def ngram_entropy(examined: Examination, *, tokens: Count = 24) -> Readings:
    """The weighted entropy of the pairs and triples of tokens in each greedy continuation of a question.

    0 for one token repeated for ever; with 24 tokens at most 4.48 bits, when no pair comes twice. Noise is varied too:
    read it beside the perplexity of the generations. The model goes on after its answer, which may be one token long.
    It reads the output only, and says nothing of hidden knowledge.

    Args:
        tokens: length of a continuation
    """
    model = examined.of("model")
    return {
        split: np.array(
            [_entropy(row) for row in continued(model, examined.examples(split), tokens)]
        )
        for split in ("forget_score", "retain_score")
    }


def _entropy(row: np.ndarray) -> float:
    return sum(weight * _bits(n_grams(row, n)) for n, weight in WEIGHTS.items()) / len(WEIGHTS)


def _bits(counts: np.ndarray) -> float:
    shares = counts / max(1, counts.sum())
    return float(-(shares * np.log2(shares)).sum())
