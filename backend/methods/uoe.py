"""Unlearning one expert: only the expert of a mixture that forget data uses most is trained, and its router."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from backend import chunked
from backend.batches import Batch
from backend.context import RunContext
from backend.data import Examples, Task
from backend.losses import preference_loss
from backend.models import scored_logits
from backend.registry import Count, Rate, Weight, method
from backend.stage import RunFailed
from backend.suppression import ForgetLoss, Step, losses_before, summed_losses, suppress

ROWS = 512  # rows of an attribution pass


@method(
    stage="suppress",
    label="UOE",
    families=["mixtral"],
    source="Zhuang et al. 2025 (SEUF, arXiv 2411.18797), eq. 2–4; L = ℓ(forget) + α‖g − onehot(e*)‖²(forget) + w·CE(retain)",
)
def uoe(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    loss: Literal["grad_ascent", "npo", "max_ent"] = "npo",
    alpha: Weight = 1.0,
    beta: Rate = 0.1,
    layer: int = -1,
    experts: Count = 1,
    learning_rate: Rate = 1e-2,
    **suppression: Any,
) -> Any:
    """The model after suppression through the expert with the highest affinity to forget data alone.

    Trained are that expert's matrices and the router of its block; every other weight stays bit for bit what it was.
    The anchor keeps the router sending forget data to the expert, so that others are not used in its stead.

    Args:
        loss: forget loss, as of the method of that name
        alpha: weight of the router's anchor beside the forget loss
        beta: npo's beta, of no account for other losses
        layer: block whose experts are unlearnt, 0 is the first; -1 for the one with the highest affinity
        experts: how many experts of that block, by affinity
        learning_rate: peak learning rate of AdamW; one expert has to move further than all weights together

    Raises:
        RunFailed: the model is no mixture of experts, has no such block or so many experts, or is trained by an adapter
    """
    _check(model, layer, experts)
    scores = affinities(model, run, task.train["forget"])
    place = layer if layer >= 0 else int(scores.amax(dim=1).argmax())
    chosen = scores[place].topk(experts).indices
    _confine(model, run, place, chosen)
    run.note(_told(place, chosen.tolist(), scores[place]))
    wanted = torch.zeros_like(scores[place]).index_fill(0, chosen, 1.0)
    forget = _forget_loss(loss, model, task, run, beta)

    with router_probabilities(model) as seen:

        def anchored(step: Step) -> Tensor:
            lost = forget(step)  # its pass over forget data is the latest one that the router saw
            away = (seen[place] - wanted).square().sum(dim=1)
            return lost + alpha * (reading_weights(step.forget) @ away)

        suppress(model, task, run, anchored, learning_rate=learning_rate, **suppression)
    model.requires_grad_(True)
    return model


@contextmanager
def router_probabilities(model: Any) -> Iterator[dict[int, Tensor]]:
    """While open, every block's router probabilities at its latest pass by block number, (rows · length, experts)."""
    seen: dict[int, Tensor] = {}

    def keep(place: int) -> Any:
        def hook(module: Any, args: Any, output: Any) -> None:
            # From the weight itself: what the router returns differs between versions of transformers.
            logits = F.linear(args[0].reshape(-1, args[0].shape[-1]), module.weight)
            seen[place] = logits.float().softmax(dim=-1)

        return hook

    blocks = model.model.layers
    handles = [b.mlp.gate.register_forward_hook(keep(i)) for i, b in enumerate(blocks)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def reading_weights(batch: Batch) -> Tensor:
    """Weights over all input positions, (rows · length,), that mean over an item's tokens, then over items.

    An item ends with its last scored position; what fills up its row does not count.
    """
    rows, length = batch.input_ids.shape
    places = (batch.columns + 1).expand(rows, -1)
    ends = (places if batch.chosen is None else places * batch.chosen).amax(dim=1, keepdim=True)
    positions = torch.arange(length, device=batch.input_ids.device)
    return ((positions < ends) / (ends * rows)).flatten()


@torch.no_grad()
def affinities(model: Any, run: RunContext, examples: Examples) -> Tensor:
    """Mean router probability of every expert over examples' tokens, shape (blocks, experts), each row summing to 1.

    Zhuang et al. 2025, eq. 2: first over the tokens of an item, then over items; top-k selection does not enter.
    """
    loader = run.loader(examples)
    blocks, experts = len(model.model.layers), model.config.num_local_experts
    total = torch.zeros(blocks, experts, device=run.device)
    with router_probabilities(model) as seen, run.meter.watching(model):
        for batch in loader.parts(ROWS):
            scored_logits(model, batch)
            weights = reading_weights(batch) * len(batch.input_ids) / len(loader)
            total += torch.stack([weights @ seen[place] for place in range(blocks)])
    return total


def _check(model: Any, layer: int, experts: int) -> None:
    there = getattr(model.config, "num_local_experts", None)
    if not there:
        raise RunFailed(
            f"uoe unlearns an expert of a mixture, and a {model.config.model_type} model has none;"
            ' give the setting family = "mixtral".'
        )
    blocks = len(model.model.layers)
    if not -1 <= layer < blocks:
        raise RunFailed(f"uoe: layer = {layer}, but the model has the blocks 0 to {blocks - 1}.")
    if experts > there:
        raise RunFailed(f"uoe: experts = {experts}, but a block has {there}.")
    if any("lora_" in name for name, _ in model.named_parameters()):
        raise RunFailed("uoe trains an expert's own weights; leave the adapter out.")


def _confine(model: Any, run: RunContext, place: int, chosen: Tensor) -> None:
    """Let only the chosen experts and the router of their block learn, within what an option's mask allows."""
    mixture = model.model.layers[place].mlp
    model.requires_grad_(False)
    mixture.gate.weight.requires_grad_(True)
    for part in ("gate_up_proj", "down_proj"):
        weight = getattr(mixture.experts, part)
        weight.requires_grad_(True)
        name = f"model.layers.{place}.mlp.experts.{part}"
        mask = torch.zeros_like(weight, dtype=torch.bool).index_fill(0, chosen, True)
        run.masks[name] = mask & run.masks[name] if name in run.masks else mask


def _told(place: int, chosen: list[int], scores: Tensor) -> str:
    named = ", ".join(f"{expert} (affinity {scores[expert]:.2f})" for expert in chosen)
    return f"Unlearnt in block {place}: expert {named}."


def _forget_loss(name: str, model: Any, task: Task, run: RunContext, beta: float) -> ForgetLoss:
    """The forget loss of a method of that name."""
    if name == "npo":
        before = losses_before(model, run, task.train["forget"])

        def avoid(step: Step) -> Tensor:
            lost = summed_losses(model, step.forget)
            none = torch.zeros_like(lost)
            return preference_loss(none, lost, none, before[step.indices], beta)

        return avoid
    if name == "max_ent":
        return lambda step: chunked.uniform_divergence(model, step.forget)
    return lambda step: -chunked.cross_entropy(model, step.forget)
