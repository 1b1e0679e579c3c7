"""A model's blocks one by one: what each puts out where answers are scored. Wrappers have none to show."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backend import architecture
from backend.batches import Batch, Loader
from backend.models import scored_logits
from backend.stage import NotApplicable
from backend.wrapping import Wrapper

ROWS = 256  # rows of a pass


@dataclass(frozen=True)
class States:
    """What every block puts out at the scored positions of some items, before the final norm, in float32.

    `layers` holds a tensor (scored, width) for each block, `rows` the item of every scored position, `targets` the
    token that should come next there; both have shape (scored,).
    """

    layers: list[Tensor]
    rows: Tensor
    targets: Tensor

    @property
    def ends(self) -> Tensor:
        """The first scored position of every item, where its question ends, shape (items,)."""
        first = torch.ones_like(self.rows, dtype=torch.bool)
        first[1:] = self.rows[1:] != self.rows[:-1]
        return first.nonzero()[:, 0]


def blocks_of(model: Any) -> list[Any]:
    """A model's blocks, the first one first; NotApplicable for a wrapper."""
    if isinstance(model, Wrapper):
        raise NotApplicable(
            "a wrapper has no layers and no weights of its own; look at what it wraps"
        )
    return list(architecture.blocks(model))


def same_shape(*models: Any) -> None:
    """NotApplicable unless the models have as many blocks of the same width."""
    shapes = {(len(blocks_of(model)), model.config.hidden_size) for model in models}
    if len(shapes) > 1:
        raise NotApplicable("the models that are compared differ in shape")


@contextmanager
def block_outputs(model: Any) -> Iterator[list[Tensor]]:
    """A list that every pass fills with the blocks' outputs, each (rows, length, width), not detached."""
    seen: list[Tensor] = []
    handles = [
        block.register_forward_hook(lambda module, args, output: seen.append(first_of(output)))
        for block in blocks_of(model)
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def first_of(output: Any) -> Tensor:
    """The hidden states in what a block returns, alone or as the first of several."""
    states: Tensor = output[0] if isinstance(output, tuple) else output
    return states


def scored_mask(batch: Batch) -> Tensor:
    """Where a batch is scored, shape (rows, length); read row by row it has the order of `scored_logits`."""
    mask = torch.zeros_like(batch.input_ids, dtype=torch.bool)
    mask[:, batch.columns] = True if batch.chosen is None else batch.chosen
    return mask


@torch.no_grad()
def scored_states(model: Any, loader: Loader) -> States:
    """The states of all items, in evaluation mode."""
    was_training, before = model.training, 0
    model.eval()
    parts: list[list[Tensor]] = []
    rows: list[Tensor] = []
    targets: list[Tensor] = []
    with block_outputs(model) as seen:
        for batch in loader.parts(ROWS):
            seen.clear()
            scored_logits(model, batch)
            mask = scored_mask(batch)
            parts.append([states[mask].float() for states in seen])
            rows.append(batch.rows + before)
            targets.append(batch.targets)
            before += len(batch.input_ids)
    model.train(was_training)
    layers = [torch.cat(layer) for layer in zip(*parts, strict=True)]
    return States(layers, torch.cat(rows), torch.cat(targets))


def layer_name(position: int) -> str:
    """The category under which a layer's readings stand: `layer 1` is the first block."""
    return f"layer {position + 1}"


def finite(states: States) -> States:
    """The states; NotApplicable where a model's are not numbers."""
    if not all(bool(torch.isfinite(layer).all()) for layer in states.layers):
        raise NotApplicable("its hidden states are not finite")
    return states
