"""Several models that speak as one: the mean of their probabilities."""

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from backend.wrapping import Wrapper, logits_of


class Ensemble(Wrapper):
    """Frozen models behind one call, whose logits are the log of the mean of their probabilities.

    A pass costs as many FLOPs as those of all its members. It is a teacher and is never stored.
    """

    def __init__(self, members: Sequence[Any]):
        first, *others = members
        super().__init__(first, {})
        self.others = nn.ModuleList(others)
        self.beside(*others)
        self.requires_grad_(False)
        self.eval()

    def logits(self, input_ids: Tensor, keep: Any) -> Tensor:
        """log((1/n) Σ p_i), shape (rows, kept, vocabulary), float32: softmax gives the mean distribution exactly."""
        members = (self.base, *self.others)
        each = (logits_of(member, input_ids, keep).log_softmax(-1) for member in members)
        return reduce(torch.logaddexp, each) - math.log(len(members))
