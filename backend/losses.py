"""Losses over logits of shape (scored, vocabulary), each a scalar in nats unless said."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy against the targets, in float32."""
    return F.cross_entropy(logits.float(), targets)


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of every scored token, shape (scored,), in float32."""
    return F.cross_entropy(logits.float(), targets, reduction="none")


def item_sums(values: Tensor, rows: Tensor, count: int) -> Tensor:
    """Sums of values (scored,) over the tokens of each of `count` items; `rows` names every token's item."""
    return values.new_zeros(count).index_add(0, rows, values)


def item_means(values: Tensor, rows: Tensor, count: int) -> Tensor:
    """Means of values (scored,) over the tokens of each item, every item having at least one."""
    return item_sums(values, rows, count) / torch.bincount(rows, minlength=count)


def preference_loss(
    good: Tensor, bad: Tensor, good_before: Tensor, bad_before: Tensor, beta: float
) -> Tensor:
    """DPO's loss times 2: −(2/β) log σ(β [log p/p₀(good) − log p/p₀(bad)]), from summed losses of every item.

    Rafailov et al. 2023 (arXiv 2305.18290), eq. 7, with the factor 2 under which NPO is its bad half.
    """
    gain = (good_before - good) - (bad_before - bad)
    return (2.0 / beta) * F.softplus(-beta * gain).mean()


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
