"""Gradients elsewhere: the weights moved for a while and put back exactly."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


def gradient_norm(model: Any) -> float:
    """Euclidean norm of all gradients that there are."""
    squares = [p.grad.float().square().sum() for p in model.parameters() if p.grad is not None]
    return float(torch.stack(squares).sum().sqrt())


@contextmanager
def moved(model: Any, by: Mapping[str, Tensor]) -> Iterator[None]:
    """The model with these additions to its weights; afterwards every bit is as before."""
    weights = dict(model.named_parameters())
    start = {name: weights[name].detach().clone() for name in by}
    with torch.no_grad():
        for name, addition in by.items():
            weights[name].add_(addition)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in start.items():
                weights[name].copy_(value)
