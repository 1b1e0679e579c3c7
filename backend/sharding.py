"""A model in training spread over the ranks of a run: each holds a part of the weights, gradients and optimiser's state.

A model is spread when a training begins and is whole again when it ends, so that what comes before and after, noise and
edits of single weights, copies, checkpoints, sees it as on one device. It is torch's `fully_shard`, block by block, under
which embedding and head stay together: a loss may then work with the head's weight by itself, as those in chunks do.
"""

import copy
import functools
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.nn.utils.parametrize import is_parametrized
from transformers import PreTrainedModel

from backend.architecture import blocks
from backend.ranks import divided, team
from backend.stage import NotApplicable, RunFailed

Train = TypeVar("Train", bound=Callable[..., int])
PROBLEMS = (RuntimeError, AssertionError, AttributeError, TypeError, IndexError)


def over_ranks(train: Train) -> Train:
    """The same training where several ranks do it: it says what they do not share, and spreads the model where asked."""

    @functools.wraps(train)
    def together(model: Any, loss: Any, run: Any, **options: Any) -> int:
        ranks = team()
        if ranks.ranks > 1 and divided(loss) is None:
            _note_whole(run, ranks.ranks)
        ranks.level((*model.parameters(), *run.masks.values()))
        if not ranks.sharded:
            return train(model, loss, run, **options)
        _refuse(model, run, options)
        with in_shards(model):
            return train(model, loss, run, **options)

    return cast(Train, together)


def _note_whole(run: Any, devices: int) -> None:
    sentence = (
        f"A loss here is not divided by rows: each of {devices} devices computed it in whole."
    )
    if sentence not in run.notes:
        run.note(sentence)


def _refuse(model: Any, run: Any, options: Mapping[str, Any]) -> None:
    """RunFailed for what needs whole weights while it trains."""
    inner = [module for module in model.modules() if module is not model]
    reasons = {
        "a mask on its weights": run.masks,
        "a wrapper of the optimiser's step": run.wrapper,
        "weights in half precision alone": run.policy.pure,
        "a compiled body": options.get("compile"),
        "functions that listen to its layers": any(
            module._forward_hooks or module._forward_pre_hooks for module in inner
        ),
        "parametrised weights": any(map(is_parametrized, inner)),
        "parts around a transformers model": not isinstance(model, PreTrainedModel),
    }
    found = next((reason for reason, holds in reasons.items() if holds), None)
    if found:
        raise _refused(f"a training with {found}")


def _refused(what: str) -> RunFailed:
    return RunFailed(
        f"Weights that are spread over devices do not allow {what}; use --sharding none."
    )


@contextmanager
def in_shards(model: Any) -> Iterator[None]:
    """While the context is open the model's weights are spread over the ranks; all of them call it, and together.

    The model is the same object, and its weights are the same objects afterwards. After what went wrong it is of no use.
    """
    twin = _spread(model)
    whole = model._modules
    freed = dict(model.named_parameters())
    for weight in freed.values():
        weight.data = weight.data.new_empty(0)
    vars(model).update(_modules=twin._modules, forward=twin.__call__, unshard=twin.unshard)
    try:
        yield
    except PROBLEMS as problem:
        if isinstance(problem, torch.OutOfMemoryError) or "gloo" in str(problem):
            raise
        traceback.print_exc(file=sys.stderr)
        first = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise _refused(f"this training ({first})") from problem
    twin.reshard()
    vars(model).update(_modules=whole)
    for added in ("forward", "unshard"):
        del vars(model)[added]
    _fill(freed, dict(model.named_buffers()), twin)


def _spread(model: Any) -> Any:
    """A copy of the model in shards, nobody listening to it."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    twin = copy.deepcopy(model)
    twin._forward_hooks.clear()
    twin._forward_pre_hooks.clear()
    mesh = init_device_mesh(team().device.type, (team().ranks,))
    try:
        for block in blocks(twin):
            fully_shard(block, mesh=mesh)
    except NotApplicable as why:
        raise _refused(f"this model: {why}") from why
    return fully_shard(twin, mesh=mesh)


@torch.no_grad()
def _fill(weights: Mapping[str, Tensor], buffers: Mapping[str, Tensor], twin: Any) -> None:
    """Give a model the weights of its twin in shards."""
    for name, spread in twin.named_parameters():
        weights[name].data = spread.full_tensor().detach()
    for name, buffer in twin.named_buffers():
        buffers[name].copy_(buffer)


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors to be written, gathered from all ranks one after the other; the first rank alone gets them."""
    if not team().sharded:
        return dict(tensors)
    found = {}
    for name, tensor in tensors.items():
        gather = getattr(tensor, "full_tensor", None)
        full = gather() if gather else tensor
        if team().first:
            found[name] = full.detach().cpu()
    return found


def alike(stored: Tensor, weight: Tensor) -> Tensor:
    """A stored tensor where the weight is; this rank's part of it where the weight is spread and of the same shape."""
    mesh = getattr(weight, "device_mesh", None)
    if mesh is None or stored.shape != weight.shape:
        return stored.to(weight.device)
    from torch.distributed.tensor import distribute_tensor

    spread: Any = weight
    return distribute_tensor(stored.to(weight.device), mesh, spread.placements)
