"""Where gradients go: masks on MLP activations, token weights from observed labels, and the cut."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backend.data import IGNORE, Examples, Task
from backend.models import Batch

FORGET_PSEUDO, RETAIN_PSEUDO = 1.0, 20.0  # added to every count; rare tokens lean to retain


@contextmanager
def routed(model: Any, mask: Tensor | None) -> Iterator[list[Tensor]]:
    """The model with a ← m⊙a + (1 − m)⊙sg(a) on the MLPs' activations before the down projection.

    `mask` has shape (rows, length, neurons); None leaves gradients alone. The list holds every block's activations of
    the last pass. Values never change.
    """
    seen: list[Tensor] = []

    def gate(module: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        activation = args[0]
        if mask is not None:
            activation = mask * activation + (1.0 - mask) * activation.detach()
        seen.append(activation)
        return (activation,)

    hooks = [block.mlp.down_proj.register_forward_pre_hook(gate) for block in model.model.layers]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def all_tokens(batch: Batch) -> Tensor:
    """The next token at every position, shape (rows, length): the inputs shifted, the answers where they are scored."""
    following = torch.cat([batch.input_ids[:, 1:], batch.input_ids[:, -1:]], dim=1)
    if batch.chosen is None:
        following[:, batch.columns] = batch.targets.view(len(following), -1)
        return following
    scored = following[:, batch.columns]
    scored[batch.chosen] = batch.targets
    following[:, batch.columns] = scored
    return following


def token_weights(task: Task) -> Tensor:
    """w of every token, 0 (forget) … 1 (retain), from the observed labels alone, shape (vocabulary,).

    w = 1 − σ(s − 4), s = r − 1/r, r the ratio of the smoothed unigram shares in labelled forget and in other text.
    """
    vocabulary = len(task.words)
    forget = _share(task.train["forget"], vocabulary, FORGET_PSEUDO)
    retain = _share(task.train["retain"], vocabulary, RETAIN_PSEUDO)
    return torch.from_numpy(weights_of(forget / retain)).float()


def weights_of(ratio: np.ndarray) -> np.ndarray:
    """w = 1 − σ(r − 1/r − 4) of the ratios r of forget to retain shares."""
    score = ratio - 1.0 / ratio
    return np.asarray(1.0 / (1.0 + np.exp(score - 4.0)))


def _share(examples: Examples, vocabulary: int, pseudo: float) -> np.ndarray:
    counts = np.full(vocabulary, pseudo)
    counts += np.bincount(examples.input_ids.ravel(), minlength=vocabulary)
    scored = examples.targets[examples.targets != IGNORE]
    return (counts + np.bincount(scored, minlength=vocabulary)) / counts.sum()


def ablated(wide: Any, model: Any) -> None:
    """Fill `model` with the weights of a wider one, whose last MLP neurons fall away."""
    source = dict(wide.named_parameters())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(source[name][tuple(slice(0, size) for size in weight.shape)])
