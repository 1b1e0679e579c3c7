"""Probes: maps fitted to a model's hidden states that read its answers off them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional as F

from backend.architecture import final_norm, head
from backend.layerwise import States
from backend.losses import item_means
from backend.stage import NotApplicable

STEPS = 60  # of L-BFGS, beyond which nothing changes

# Given the states of other items at one layer and those items, says for each whether its answer is read off them.
Probe = Callable[[Tensor, States], np.ndarray]


def fitted_map(model: Any, states: States, layer: int, penalty: float) -> Probe:
    """A linear map from a layer's states to the space that the model's own head reads, found by the answers' loss.

    The head's rows stay as they are, so an answer that no item of the fit has can be read off too. The map begins at
    the model's own final norm gains, which is the logit lens, and is held there by `penalty` times its squared distance.
    States are scaled to unit root mean square first, where the norm subtracts their mean, after that. An item counts as
    read where all its scored tokens are likeliest.
    """
    width, rows = states.layers[layer].shape[1], head(model).weight.detach().float()
    own, shift, centred = _own_norm(model, width, rows.device)
    offset = getattr(head(model), "bias", None)
    added = 0.0 if offset is None else offset.detach().float()
    change = own.new_zeros(width, width)
    change.requires_grad_()
    shift.requires_grad_()
    x = _scaled(states.layers[layer], centred)

    def loss() -> Tensor:
        logits = (x @ (own + change).T + shift) @ rows.T + added
        return F.cross_entropy(logits, states.targets) + penalty * change.square().sum()

    _minimise(loss, [change, shift])
    turned, moved = (own + change).detach(), shift.detach()

    def right(given: Tensor, items: States) -> np.ndarray:
        guess = ((_scaled(given, centred) @ turned.T + moved) @ rows.T + added).argmax(-1)
        return _all_right(guess == items.targets, items)

    return right


def fitted_classes(states: States, layer: int, penalty: float) -> Probe:
    """A logistic regression from a layer's state at the end of the question to the answer as a class.

    An answer that no item of the fit has is out of its reach.
    """
    x = states.layers[layer][states.ends].cpu().numpy().astype(float)
    centre, spread = x.mean(0), x.std(0) + 1e-6
    classes = _answers(states)
    known = {answer: number for number, answer in enumerate(sorted(set(classes)))}
    labels = np.array([known[answer] for answer in classes])
    if len(known) < 2:
        raise NotApplicable("all facts of the attack part have one answer")
    strength = 1 / (2 * max(penalty, 1e-12) * len(x))
    model = LogisticRegression(C=strength, max_iter=500).fit((x - centre) / spread, labels)

    def right(given: Tensor, items: States) -> np.ndarray:
        found = model.predict((given[items.ends].cpu().numpy() - centre) / spread)
        truth = np.array([known.get(answer, -1) for answer in _answers(items)])
        return (found == truth).astype(float)

    return right


def with_control(states: States, numbers: np.random.Generator) -> States:
    """The same states with the answers dealt anew among the items of as many tokens (a probe's control labels)."""
    targets = states.targets.clone()
    counts = torch.bincount(states.rows).cpu().numpy()
    starts = np.cumsum(counts) - counts
    for count in np.unique(counts):
        items = np.flatnonzero(counts == count)
        places = starts[items][:, None] + np.arange(count)
        dealt = starts[numbers.permutation(items)][:, None] + np.arange(count)
        targets[torch.from_numpy(places)] = states.targets[torch.from_numpy(dealt)]
    return replace(states, targets=targets)


def _minimise(loss: Callable[[], Tensor], weights: list[Tensor]) -> None:
    optimiser = torch.optim.LBFGS(weights, max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]


@torch.no_grad()
def _own_norm(model: Any, width: int, where: torch.device) -> tuple[Tensor, Tensor, bool]:
    """The final norm's gains as a matrix, its shift, and whether it subtracts the mean of a state."""
    norm = final_norm(model)
    if not isinstance(norm, nn.LayerNorm):
        gains = norm(torch.ones(width, device=where)).float()
        return torch.diag(gains), torch.zeros_like(gains), False
    gains = norm.weight.detach().float()
    shift = torch.zeros_like(gains) if norm.bias is None else norm.bias.detach().float().clone()
    return torch.diag(gains), shift, True


def _scaled(states: Tensor, centred: bool = False) -> Tensor:
    states = states - states.mean(-1, keepdim=True) if centred else states
    return states * states.square().mean(-1, keepdim=True).clamp(min=1e-12).rsqrt()


def _all_right(right: Tensor, items: States) -> np.ndarray:
    count = int(items.rows[-1]) + 1
    shares: np.ndarray = item_means(right.double(), items.rows, count).cpu().numpy()
    return (shares == 1).astype(float)


def _answers(items: States) -> list[tuple[int, ...]]:
    """The tokens of every item's answer."""
    ends = items.ends.cpu().numpy()
    return [tuple(part.tolist()) for part in np.split(items.targets.cpu().numpy(), ends[1:])]
