"""Answer loss: the mean cross-entropy of the answer's tokens."""

import numpy as np

from backend.evaluation import Scores
from backend.registry import metric


@metric(
    label="loss",
    source="cross-entropy of the answer, Lee et al. 2025 (arXiv 2506.06278)",
    direction="down",
    floor="unigram",
    unit="nats",
    range=[0.0, None],
    mean="tokens",
)
def loss(scores: Scores) -> np.ndarray:
    """Cross-entropy in nats a token of each item; smaller means that the model knows more. A split's loss is the mean over all its tokens.

    An answer behind a refusal keeps a finite loss, so it shows more than accuracy; a turned output head hides all.
    """
    return scores.loss / scores.tokens
