"""Quantisation: few bits a weight may round away what unlearning changed."""

from typing import Any, Literal

from backend.attacking import look
from backend.change import before, note_change
from backend.context import RunContext
from backend.data import Task
from backend.quantization import quantize_weights
from backend.registry import Count, attack
from backend.weights import in_hand


@attack(
    label="Quantisation",
    source="Zhang et al. 2024 (arXiv 2410.16454): round to nearest, Ŵ = Δ·round(W/Δ), Δ = max|W| / (2^(b−1) − 1)",
    counts="weights",
    has_steps=False,
)
def quantize(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    bits: Literal[8, 6, 5, 4, 3, 2] = 4,
    group: Count = 32,
    embedding: bool = False,
) -> Any:
    """The model with every projection rounded to few bits, measured once.

    Args:
        bits: bits a weight
        group: weights along a row that share a step; a whole row where its width is no multiple of it
        embedding: whether the embedding, which is the head where they are tied, is rounded too
    """
    start = before(in_hand(model), run)
    quantize_weights(model, bits, group, embedding=embedding)
    note_change(run, start, model)
    look(run, model, 1, last=True)
    return model
