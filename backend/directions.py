"""Directions in the residual stream: means of hidden states, and models with one direction removed or added."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.architecture import attention, blocks
from backend.context import RunContext
from backend.data import IGNORE, Examples
from backend.representations import added_after

ROWS = 1024  # rows of a pass without gradients


@torch.no_grad()
def mean_states(model: Any, run: RunContext, examples: Examples) -> Tensor:
    """Mean over the questions of what every block puts out at the prompt's last token, shape (blocks, width)."""
    loader = run.loader(examples)
    ends = torch.from_numpy((examples.targets != IGNORE).argmax(axis=1)).to(run.device)
    listed = blocks(model)
    total = torch.zeros(len(listed), model.config.hidden_size, device=run.device)
    seen: list[Tensor] = []
    handles = [block.register_forward_hook(lambda m, a, out: seen.append(_plain(out))) for block in listed]  # fmt: skip
    try:
        with run.meter.watching(model):
            for start in range(0, len(loader), ROWS):
                rows = slice(start, start + ROWS)
                seen.clear()
                model(loader.batch(rows).input_ids, logits_to_keep=1, use_cache=False)
                here = torch.arange(len(ends[rows]), device=run.device)
                total += torch.stack([states[here, ends[rows]].sum(0) for states in seen])
    finally:
        for handle in handles:
            handle.remove()
    return total / len(loader)


def _plain(output: Any) -> Tensor:
    states: Tensor = output[0] if isinstance(output, tuple) else output
    return states


@contextmanager
def without_direction(model: Any, direction: Tensor) -> Iterator[None]:
    """The model in which nothing writes along a direction: h ← h − (h · v̂) v̂ wherever the residual stream is written.

    That is after the embedding, every attention, every MLP and so every block (Arditi et al. 2024, arXiv 2406.11717,
    eq. 4): the same as W ← (I − v̂ v̂ᵀ) W for all matrices that write to the stream, but right as well where the
    embedding is also the head and where a norm follows the matrix.
    """
    unit = F.normalize(direction, dim=0)

    def project(module: Any, args: Any, output: Any) -> Any:
        states = _plain(output)
        left = states - (states @ unit)[..., None] * unit
        return (left, *output[1:]) if isinstance(output, tuple) else left

    def enter(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (project(module, (), args[0]), *args[1:])

    handles = [module.register_forward_hook(project) for module in _writers(model)]
    handles.append(blocks(model)[0].register_forward_pre_hook(enter))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _writers(model: Any) -> list[Any]:
    """The modules whose outputs make up the residual stream, after what enters the first block."""
    found = []
    for block in blocks(model):
        # Gemma puts norms between attention or MLP and the stream.
        normed = hasattr(block, "post_feedforward_layernorm")
        found += [block.post_attention_layernorm if normed else attention(block), block]
    return found


@contextmanager
def moved_along(model: Any, layer: int, direction: Tensor, strength: float) -> Iterator[None]:
    """The model with `strength` times a direction added to what block `layer` puts out, at every token."""
    with added_after(model, layer, strength * direction):
        yield
