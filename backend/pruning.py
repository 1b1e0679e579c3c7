"""Pruning by weight times activation: which inputs of every projection are large, and what that leaves out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.architecture import is_turned, projections
from backend.context import RunContext
from backend.data import IGNORE, Examples
from backend.models import scored_logits

ROWS = 256  # rows of a pass


@torch.no_grad()
def input_sizes(model: Any, run: RunContext, examples: Examples) -> dict[str, Tensor]:
    """For every projection of the blocks, by its weight's name, ‖x_j‖² of every input over all tokens.

    Tokens after a row's last scored position fill it up and do not count. Of the experts of a mixture each sees its
    own tokens: shape (experts, in); else (in,). Routers are left out.
    """
    loader = run.loader(examples)
    read = torch.from_numpy((examples.targets != IGNORE)[:, ::-1].cumsum(1)[:, ::-1] > 0)
    found: dict[str, Tensor] = {}
    mask: list[Tensor] = []
    with _watched(model, found, mask), run.meter.watching(model):
        for start in range(0, len(loader), ROWS):
            rows = slice(start, start + ROWS)
            mask[:] = [read[rows].flatten().to(run.device)]
            scored_logits(model, loader.batch(rows))
    return found


@contextmanager
def _watched(model: Any, found: dict[str, Tensor], mask: list[Tensor]) -> Iterator[None]:
    """While it is open every pass adds the squares of all projections' inputs, of the tokens in the mask."""

    def linear(name: str, inputs: Tensor) -> None:
        tokens = inputs.detach().flatten(0, -2)[mask[0]]
        _add(found, f"{name}.weight", tokens.square().sum(0))

    def experts(name: str, module: Any, tokens: Tensor, chosen: Tensor) -> None:
        for place, (enter, leave) in enumerate(_expert_inputs(module, tokens, chosen)):
            for weight, inputs in (("gate_up_proj", enter), ("down_proj", leave)):
                key = f"{name}.{weight}"
                found.setdefault(key, tokens.new_zeros(module.num_experts, inputs.shape[-1]))
                found[key][place] += inputs.square().sum(0)

    def _expert_inputs(module: Any, tokens: Tensor, chosen: Tensor) -> Iterator[Any]:
        for place in range(module.num_experts):
            enter = tokens[mask[0] & (chosen == place).any(-1)]
            gate, up = F.linear(enter, module.gate_up_proj[place]).chunk(2, dim=-1)
            yield enter, module.act_fn(gate) * up

    linears = projections(model)
    handles = []
    for name, module in model.named_modules():
        if name in linears:
            handles.append(
                module.register_forward_pre_hook(lambda _, args, name=name: linear(name, args[0]))
            )
        elif hasattr(module, "gate_up_proj") and hasattr(module, "num_experts"):
            handles.append(
                module.register_forward_pre_hook(
                    lambda module, args, name=name: experts(name, module, args[0], args[1])
                )
            )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _add(found: dict[str, Tensor], name: str, squares: Tensor) -> None:
    found[name] = found[name] + squares if name in found else squares


@torch.no_grad()
def prune_by_activation(model: Any, sizes: dict[str, Tensor], share: float) -> None:
    """Set to 0, in place, the int(share · in) weights of every output with the smallest |W_ij| · ‖x_j‖.

    Wanda (Sun et al. 2023, arXiv 2306.11695, eq. 1): weights are compared within an output's row. An expert that saw no
    token is pruned by magnitude.
    """
    weights = dict(model.named_parameters())
    turned = {f"{name}.weight" for name, m in projections(model).items() if is_turned(m)}
    for name, squares in sizes.items():
        weight = weights[name].T if name in turned else weights[name]  # a view: (out, in)
        unseen = (squares == 0).all(-1, keepdim=True)
        size = torch.where(unseen, torch.ones_like(squares), squares).sqrt().unsqueeze(-2)
        gone = (weight.abs() * size).argsort(dim=-1, stable=True)
        gone = gone[..., : int(share * weight.shape[-1])]
        weight.scatter_(-1, gone, 0.0)
