"""Activation patching: one model's hidden states put into another where answers are scored."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from backend.batches import Batch, Loader
from backend.layerwise import ROWS, block_outputs, blocks_of, first_of, scored_mask
from backend.losses import item_means, token_losses
from backend.models import scored_logits


@contextmanager
def replaced_after(model: Any, layer: int, where: Tensor, states: Tensor) -> Iterator[None]:
    """The model with `states` (n, width) behind block `layer` at the n places of the mask `where` (rows, length)."""

    def replace(module: Any, args: Any, output: Any) -> Any:
        patched = first_of(output).clone()
        patched[where] = states.to(patched)
        return (patched, *output[1:]) if isinstance(output, tuple) else patched

    handle = blocks_of(model)[layer].register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


@torch.no_grad()
def patched_drops(full: Any, source: Any, loader: Loader) -> Tensor:
    """How much log-probability the answers lose when `source`'s states stand in `full`, shape (layers, items), in nats.

    For every block alone: mean over an item's scored tokens of log p_full − log p_patched, all its scored positions
    patched, the true answer given (Δ of arXiv 2605.24614). Both models must have the same shape.
    """
    found = [_drops(full, source, batch) for batch in loader.parts(ROWS)]
    return torch.cat(found, dim=1)


def _drops(full: Any, source: Any, batch: Batch) -> Tensor:
    mask, count = scored_mask(batch), len(batch.input_ids)
    with block_outputs(source) as states:
        scored_logits(source, batch)

    def losses() -> Tensor:
        return item_means(
            token_losses(scored_logits(full, batch), batch.targets).double(), batch.rows, count
        )

    intact = losses()
    drops = []
    for layer, given in enumerate(states):
        with replaced_after(full, layer, mask, given[mask]):
            drops.append(losses() - intact)
    return torch.stack(drops)
