"""Losses over logits of shape (scored, vocabulary), each a scalar in nats unless said."""

import math

import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy against the targets, in float32."""
    return F.cross_entropy(logits.float(), targets)


def uniform_divergence(logits: Tensor) -> Tensor:
    """Mean KL(U ‖ p) to the uniform distribution: −log V − (1/V) Σ log p, zero at equal logits.

    The closed form of MaxEnt's loss (Lee et al. 2025); no uniform teacher has to be held in memory.
    """
    log_p = F.log_softmax(logits.float(), dim=-1)
    vocabulary = logits.shape[-1]
    return (-log_p.mean(dim=-1)).mean() - math.log(vocabulary)


def forward_divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """Mean KL(T ‖ S) = Σ p_T (log p_T − log p_S) at temperature 1; zero when both agree."""
    log_t = F.log_softmax(teacher.float(), dim=-1)
    log_s = F.log_softmax(student.float(), dim=-1)
    return F.kl_div(log_s, log_t, log_target=True, reduction="batchmean")
