"""Weights as an attacker who holds them sees them: matrices one by one, and nothing hidden behind a wrapper."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from backend.architecture import inside_blocks, is_turned, projections
from backend.stage import NotApplicable
from backend.wrapping import Wrapper


def in_hand(model: Any) -> Any:
    """The model itself, its weights in hand; NotApplicable for a wrapper, whose base is attacked instead."""
    if isinstance(model, Wrapper):
        raise NotApplicable("the model is a wrapper around weights that are attacked by themselves")
    return model


def matrices(model: Any, *, embedding: bool = False) -> Iterator[tuple[str, Tensor]]:
    """Name and matrices of every projection, shape (…, out, in); experts of a mixture come first, a matrix each.

    Embedding and head only where asked for; a tied head is the embedding and comes once.
    """
    inner = inside_blocks(model)
    turned = {f"{name}.weight" for name, module in projections(model).items() if is_turned(module)}
    for name, weight in model.named_parameters():
        if weight.dim() >= 2 and (embedding or name.startswith(inner)):
            yield name, weight.T if name in turned else weight


def spread(weight: Tensor) -> Tensor:
    """Root mean square of every matrix in a tensor (…, out, in), shape (…, 1, 1)."""
    return weight.square().mean(dim=(-2, -1), keepdim=True).sqrt()


@torch.no_grad()
def move_towards(model: Any, other: Any, share: float) -> None:
    """θ ← (1 − share) θ + share · θ_other, in place, every tensor once; exactly the other's at 1.

    Raises:
        NotApplicable: the two have other shapes
    """
    ends = dict(other.named_parameters())
    own = dict(model.named_parameters())
    if {n: w.shape for n, w in own.items()} != {n: w.shape for n, w in ends.items()}:
        raise NotApplicable("the model's weights have another shape than the base's")
    for name, weight in own.items():
        weight.copy_(torch.lerp(weight, ends[name].to(weight), share))
