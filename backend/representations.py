"""Hidden states disturbed, collected and compared."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from backend.architecture import blocks, final_norm, head, mlp


@contextmanager
def added_after(model: Any, layer: int, delta: Tensor) -> Iterator[None]:
    """The model with `delta` (rows, length, width) added to what block `layer` puts out."""

    def add(module: Any, args: Any, output: Any) -> Any:
        return (output[0] + delta, *output[1:]) if isinstance(output, tuple) else output + delta

    handle = blocks(model)[layer].register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def mlp_outputs(model: Any) -> Iterator[list[Tensor]]:
    """A list that every pass fills with the MLPs' outputs, block by block, each (rows, length, width)."""
    seen: list[Tensor] = []
    handles = [
        mlp(block).register_forward_hook(lambda module, args, output: seen.append(output))
        for block in blocks(model)
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def read_off(model: Any, states: Tensor) -> Tensor:
    """Logits (…, vocabulary) of a block's states (…, width) through the model's own final norm, head, scale and soft cap."""
    logits: Tensor = head(model)(final_norm(model)(states))
    # Cohere multiplies its logits, Granite divides them.
    scale = getattr(model.config, "logit_scale", None)
    scale = 1 / getattr(model.config, "logits_scaling", 1) if scale is None else scale
    logits = logits if scale == 1 else scale * logits
    cap = getattr(model.config, "final_logit_softcapping", None)
    return logits if cap is None else cap * torch.tanh(logits / cap)


def clipped(vectors: Tensor, longest: float) -> Tensor:
    """Vectors along the last axis, those that are longer shortened to that length."""
    size = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors * (longest / size.clamp(min=longest))


def mmd(one: Tensor, other: Tensor, kernels: int = 5, factor: float = 2.0) -> Tensor:
    """Squared maximum mean discrepancy of two samples (n, width), biased form, under a sum of Gaussian kernels.

    The bandwidths are the mean squared distance between different points of both samples together, times powers of
    `factor` around 1 (Gretton et al. 2012; the kernel of RepNoise, arXiv 2405.14577).
    """
    both = torch.cat([one, other]).float()
    both = both - both.detach().mean(0)  # distances are the same, and lose less to rounding
    lengths = both.square().sum(-1)
    # Through a product of matrices: all differences at once would fill the memory for long answers.
    squared = (lengths[:, None] + lengths[None] - 2 * both @ both.T).clamp(min=0)
    width = squared.detach().sum() / (len(both) * (len(both) - 1))
    scales = [width * factor ** (power - kernels // 2) for power in range(kernels)]
    kernel = torch.stack([torch.exp(-squared / scale) for scale in scales]).sum(0)
    n = len(one)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()
