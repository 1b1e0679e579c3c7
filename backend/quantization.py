"""Fake quantisation: weights rounded to few values and kept as floats, so that any device can run them."""

from typing import Any

import torch
from torch import Tensor

from backend.weights import matrices


def steps_of(weight: Tensor, bits: int, group: int) -> Tensor:
    """The step Δ of every group of weights along the last axis, shape (…, out, groups, 1).

    Δ = max|W| / (2^(bits − 1) − 1): symmetric, the largest weight of a group is kept as it is. Where the width is no
    multiple of the group's size, a row is one group. 0 for a group of zeros.
    """
    return _grouped(weight, group).abs().amax(dim=-1, keepdim=True) / (2 ** (bits - 1) - 1)


def rounded(weight: Tensor, bits: int, group: int) -> Tensor:
    """Ŵ = Δ · round(W / Δ), group by group, in the weight's shape; no weight moves by more than Δ / 2."""
    step = steps_of(weight, bits, group)
    # A group of zeros stays one.
    whole = torch.round(_grouped(weight, group) / torch.where(step > 0, step, 1.0))
    return (step * whole).view_as(weight)


@torch.no_grad()
def quantize_weights(model: Any, bits: int, group: int, *, embedding: bool) -> None:
    """Round the matrices of all blocks, in place, and the embedding where asked for."""
    for _, weight in matrices(model, embedding=embedding):
        weight.copy_(rounded(weight, bits, group))


def _grouped(weight: Tensor, group: int) -> Tensor:
    width = weight.shape[-1]
    return weight.reshape(*weight.shape[:-1], -1, group if width % group == 0 else width)
