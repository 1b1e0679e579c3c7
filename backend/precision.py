"""In which precision a run computes: one policy by name for training, attacks and evaluations alike.

Losses, norms and softmax are computed in float32 under every policy, and so are sums over tokens.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Policy:
    """Products in the precision `products`; weights, their gradients and the optimiser's state in `weights`."""

    name: str
    products: torch.dtype = torch.float32
    weights: torch.dtype = torch.float32
    scales: bool = False  # whether losses are scaled up, so that small gradients do not vanish

    @property
    def pure(self) -> bool:
        """Whether the weights themselves are kept in half precision, so that small updates are lost in them."""
        return self.weights != torch.float32


POLICIES = {
    policy.name: policy
    for policy in (
        Policy("fp32"),
        Policy("bf16", torch.bfloat16),
        Policy("fp16", torch.float16, scales=True),
        Policy("pure_bf16", torch.bfloat16, torch.bfloat16),
        Policy("pure_fp16", torch.float16, torch.float16),
    )
}

_current = ["fp32"]  # the policy of the run that this process works on


@contextmanager
def using(name: str) -> Iterator[Policy]:
    """Every model that is made while the context is open follows the policy of that name."""
    _current.append(name)
    try:
        yield POLICIES[name]
    finally:
        _current.pop()


def prepared(model: Any) -> Any:
    """The model under the policy of the run: its weights converted, its products in that precision, its answers in float32."""
    policy = POLICIES[_current[-1]]
    if policy.pure:
        model.to(policy.weights)
    if policy.products != torch.float32:
        passes = _Passes(policy.products)
        model.register_forward_pre_hook(passes.begin)
        model.register_forward_hook(passes.end, always_call=True)
    return model


class _Passes:
    """Autocast around every pass of one model, so that what is done with its answers stays in float32.

    A context around a whole run would also keep converted weights from one step to the next, stale after an update.
    """

    def __init__(self, dtype: torch.dtype):
        self.dtype = dtype
        self.open: list[Any] = []

    def begin(self, model: nn.Module, given: Any) -> None:
        """Before a pass."""
        context = torch.autocast(next(model.parameters()).device.type, self.dtype)
        context.__enter__()
        self.open.append(context)

    def end(self, model: nn.Module, given: Any, answer: Any) -> Any:
        """After a pass, or after what went wrong in it (no answer then)."""
        self.open.pop().__exit__(None, None, None)
        if getattr(answer, "logits", None) is not None:
            answer.logits = answer.logits.float()
        if getattr(answer, "hidden_states", None) is not None:
            answer.hidden_states = tuple(states.float() for states in answer.hidden_states)
        return answer


@dataclass
class LossScale:
    """The factor of a loss whose gradients are in half precision: halved after an overflow, doubled after long peace.

    The scheme of Micikevicius et al. 2018 (arXiv 1710.03740), §3.2, with torch's constants. A step whose gradients are
    not finite is skipped; it is no divergence, unless not even the smallest factor helps.
    """

    factor: float = 2.0**16
    peaceful: int = 0  # steps since the factor last changed
    skipped: int = 0
    patience: int = field(default=2000, repr=False)

    SMALLEST = 2.0**-14

    def settle(self, finite: bool) -> None:
        """Learn from a step: were its gradients finite?"""
        if not finite:
            self.factor, self.peaceful = self.factor / 2, 0
            self.skipped += 1
            return
        self.peaceful += 1
        if self.peaceful == self.patience:
            self.factor, self.peaceful = self.factor * 2, 0

    @property
    def exhausted(self) -> bool:
        """Whether the factor has fallen so low that the gradients themselves are at fault."""
        return self.factor < self.SMALLEST


@contextmanager
def unscaled(weights: Iterable[Tensor], factor: float) -> Iterator[None]:
    """Gradients that are added while the context is open are divided by the factor; those from before stay as they were."""
    weights = list(weights)
    before = [weight.grad for weight in weights]
    for weight in weights:
        weight.grad = None
    yield
    found = [weight.grad for weight in weights if weight.grad is not None]
    if found:
        torch._foreach_mul_(found, 1.0 / factor)
    for weight, earlier in zip(weights, before, strict=True):
        if earlier is not None:
            weight.grad = earlier if weight.grad is None else weight.grad.add_(earlier)


def lost_updates(
    before: Sequence[Tensor], weights: Sequence[Tensor], optimizer: torch.optim.Optimizer
) -> float:
    """Share of the weights that a step left as they were although their update was not zero; 0 where there is none.

    What the optimiser wanted shows in its state: AdamW's mean of gradients, or the momentum.
    """
    lost = total = 0.0
    for old, weight in zip(before, weights, strict=True):
        state: Mapping[str, Any] = optimizer.state[weight]
        held = (state.get(key) for key in ("exp_avg", "momentum_buffer"))
        wanted = next((tensor for tensor in held if tensor is not None), weight.grad)
        if wanted is None:
            continue
        lost += float(((weight.detach() == old) & (wanted != 0)).sum())
        total += weight.numel()
    return lost / total if total else 0.0
