"""Where gradients go: masks on MLP activations, token weights from observed labels, and the cut."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from backend import architecture
from backend.architecture import mlp_inputs, mlp_output, neuron_axis, neurons
from backend.batches import Batch
from backend.data import IGNORE, Examples, Task

FORGET_PSEUDO, RETAIN_PSEUDO = 1.0, 20.0  # added to every count; rare tokens lean to retain


@dataclass(frozen=True)
class Scheme:
    """Weights of gradients at MLP activations, by region of neurons and kind of data; the paper's: −0.75, 1, 1, 1."""

    original_on_forget: float
    extra_on_forget: float
    original_on_retain: float
    extra_on_retain: float

    def mask(self, retain: Tensor, original: int, extra: int) -> Tensor | None:
        """m of every position and neuron, shape (rows, length, original + extra); None where all of it is 1.

        `retain` is w of every position, 0 (forget) … 1 (retain), shape (rows, length); m = (1 − w) m_forget + w m_retain.
        """
        if self.original_on_retain == self.extra_on_retain == 1.0 and bool((retain == 1.0).all()):
            return None
        old = (1.0 - retain) * self.original_on_forget + retain * self.original_on_retain
        new = (1.0 - retain) * self.extra_on_forget + retain * self.extra_on_retain
        wide = (old[..., None].expand(-1, -1, original), new[..., None].expand(-1, -1, extra))
        return torch.cat(wide, dim=-1)


@contextmanager
def routed(model: Any, mask: Tensor | None, blocks: int) -> Iterator[list[Tensor]]:
    """The model with a ← m⊙a + (1 − m)⊙sg(a) on the first blocks' MLP activations before the down projection.

    `mask` has shape (rows, length, neurons); None leaves gradients alone. The list holds these blocks' activations of
    the last pass. Values never change.
    """
    seen: list[Tensor] = []

    def gate(module: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        activation = args[0]
        if mask is not None:
            activation = mask * activation + (1.0 - mask) * activation.detach()
        seen.append(activation)
        return (activation,)

    outputs = [mlp_output(block) for block in architecture.blocks(model)[:blocks]]
    hooks = [output.register_forward_pre_hook(gate) for output in outputs]
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
    """Smoothed share of every token in the text, each token of it counted once and the filling on the right never."""
    scored = examples.targets != IGNORE
    read = np.zeros_like(scored)
    read[:, 0] = True
    read[:, 1:] = ~scored[:, :-1] & (np.cumsum(scored[:, ::-1], axis=1)[:, ::-1] > 0)[:, 1:]
    text = np.concatenate([examples.input_ids[read], examples.targets[scored]])
    counts = pseudo + np.bincount(text, minlength=vocabulary)
    return np.asarray(counts / counts.sum())


def expanded(model: Any, extra: int, blocks: int, numbers: np.random.Generator) -> Any:
    """A copy of the model whose first blocks' MLPs have so many neurons more, the last ones, drawn from `numbers`.

    All else, the first neurons included, is the model's own; biases of the new neurons are 0.
    """
    wide = copy.deepcopy(model)
    spread = model.config.initializer_range
    with torch.no_grad():
        for block in architecture.blocks(wide)[:blocks]:
            output = mlp_output(block)
            for linear in mlp_inputs(block).values():
                _widened(linear, 1 - neuron_axis(linear), extra, spread, numbers)
                if linear.bias is not None:
                    zeros = linear.bias.new_zeros(extra)
                    linear.bias = torch.nn.Parameter(torch.cat([linear.bias, zeros]))
            _widened(output, neuron_axis(output), extra, spread, numbers)
    # The ledger counts every block as wide as the widest.
    wide.config.intermediate_size = neurons(mlp_output(architecture.blocks(wide)[0]))
    return wide


def _widened(
    linear: Any, axis: int, extra: int, spread: float, numbers: np.random.Generator
) -> None:
    """Let a projection's matrix grow along an axis, by rows or columns drawn from `numbers`."""
    shape = list(linear.weight.shape)
    shape[axis] = extra
    new = torch.from_numpy(spread * numbers.standard_normal(shape)).to(linear.weight)
    linear.weight = torch.nn.Parameter(torch.cat([linear.weight, new], dim=axis))
    if isinstance(linear, Conv1D):
        linear.nf = linear.weight.shape[1]


def ablated(wide: Any, model: Any) -> None:
    """Fill `model` with the weights of a wider one, whose last MLP neurons fall away."""
    source = dict(wide.named_parameters())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(source[name][tuple(slice(0, size) for size in weight.shape)])
