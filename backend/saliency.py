"""Which weights a loss depends on."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from backend.architecture import blocks, kind, mlp_output, neurons
from backend.context import RunContext
from backend.data import Examples, Task
from backend.losses import token_losses
from backend.models import scored_logits

ROWS = 256  # rows of a pass


def forget_and_retain_gradients(
    model: Any, task: Task, run: RunContext
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Gradients of the mean forget and retain loss over all training items, of every matrix by name."""
    with run.meter.watching(model):
        forget = loss_gradients(model, run, task.train["forget"])
        return forget, loss_gradients(model, run, task.train["retain"])


def loss_gradients(model: Any, run: RunContext, examples: Examples) -> dict[str, Tensor]:
    """Gradient of the mean cross-entropy over all scored tokens of some examples, of every matrix by name."""
    loader = run.loader(examples)
    scored = int((examples.targets != -100).sum())
    weights = {name: p for name, p in model.named_parameters() if p.dim() >= 2 and p.requires_grad}
    total = {name: torch.zeros_like(p) for name, p in weights.items()}
    for batch in loader.parts(ROWS):
        loss = token_losses(scored_logits(model, batch), batch.targets).sum() / scored
        found = torch.autograd.grad(loss, list(weights.values()))
        for name, gradient in zip(weights, found, strict=True):
            total[name] += gradient
    return total


def largest(scores: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Masks of the given share of all entries, those with the largest scores across all tensors."""
    flat = torch.cat([score.flatten() for score in scores.values()])
    count = round(share * len(flat))
    chosen = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
    chosen[flat.topk(count).indices] = True
    sizes = [score.numel() for score in scores.values()]
    return {
        name: part.view_as(scores[name])
        for name, part in zip(scores, chosen.split(sizes), strict=True)
    }


def places(
    model: Any, task: Task, run: RunContext, where: str, salient_share: float
) -> dict[str, Tensor] | None:
    """Masks of the matrices' weights in some place, by name; None for all weights, vectors and embedding included.

    `where` is all, attention, mlp, or salient: the share of all matrices' weights with the largest gradient of the
    forget loss, which is where relearning would go first.
    """
    if where == "all":
        return None
    if where == "salient":
        with run.meter.watching(model):
            found = loss_gradients(model, run, task.train["forget"])
        return largest({name: gradient.abs() for name, gradient in found.items()}, salient_share)
    return {
        name: torch.ones_like(weight, dtype=torch.bool)
        for name, weight in model.named_parameters()
        if weight.dim() >= 2 and kind(name) == where
    }


def fisher(
    model: Any, run: RunContext, examples: Examples, items: int, purpose: str
) -> dict[str, Tensor]:
    """Diagonal Fisher information: the mean squared gradient of single items' log-likelihood, of every parameter.

    Over at most `items` of the examples, drawn once for the seed; every item takes a pass of its own.
    """
    drawn = run.numbers(f"fisher {purpose}").permutation(len(examples))[:items]
    loader = run.loader(examples)
    weights = dict(model.named_parameters())
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    with run.meter.watching(model):
        for item in drawn:
            batch = loader.batch(slice(int(item), int(item) + 1))
            loss = token_losses(scored_logits(model, batch), batch.targets).sum()
            found = torch.autograd.grad(loss, list(weights.values()))
            for name, gradient in zip(weights, found, strict=True):
                total[name].addcmul_(gradient, gradient)
    return {name: value / len(drawn) for name, value in total.items()}


def neuron_attributions(model: Any, run: RunContext, examples: Examples) -> list[Tensor]:
    """For every block the mean |activation · gradient| of every MLP neuron, over items and positions.

    To first order that is how much the loss of an item would change without the neuron.
    """
    loader = run.loader(examples)
    outputs = [mlp_output(block) for block in blocks(model)]
    seen: list[Tensor] = []
    hooks = [o.register_forward_pre_hook(lambda _, a: seen.append(a[0])) for o in outputs]
    total = [torch.zeros(neurons(output), device=run.device) for output in outputs]
    try:
        with run.meter.watching(model):
            for batch in loader.parts(ROWS):
                seen.clear()
                loss = token_losses(scored_logits(model, batch), batch.targets).sum()
                for place, gradient in enumerate(torch.autograd.grad(loss, seen)):
                    total[place] += (seen[place] * gradient).detach().abs().sum(dim=(0, 1))
    finally:
        for hook in hooks:
            hook.remove()
    return [value / len(loader) for value in total]
