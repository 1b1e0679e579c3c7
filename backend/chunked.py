"""Losses at a large vocabulary that never hold more than a chunk of [tokens × vocabulary] at a time.

The head's product, the loss and their gradients are computed a few hundred tokens at a time: logits → loss → gradient of
the logits → what it adds to the gradients of the hidden states and of the head's weight. So a loss over 256,000 words costs the
memory of a chunk, not 8 GB each for logits, log-probabilities and their gradients. Small vocabularies go the plain way,
through all logits at once, and so do models of which it is not known how they come from states to logits.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from backend import losses
from backend.batches import Batch
from backend.models import scored_logits, scored_states, vocabulary_of

LARGE = 1 << 22  # logits in a batch from which on they are made in chunks
# Bytes of a page of logits in float32: on a CPU no more than its products need, on an accelerator enough to keep it busy.
BUDGET = {"cpu": 1 << 24, "cuda": 1 << 29}
GRAIN = 32  # tokens of a chunk are a multiple of this, for the products' sake

# Families whose logits are the head's product with the states and, where the configuration says so, a soft cap.
FAMILIES = ("llama", "gemma", "gemma2", "mistral", "mixtral", "qwen2", "qwen3", "phi3", "olmo2", "gpt_neox", "gpt2")  # fmt: skip


class Room:
    """Memory for what a chunk needs, [tokens × vocabulary] in float32 a page, used again for the next chunk."""

    def __init__(self) -> None:
        self.pages: list[Tensor] = []
        self.used = 0

    def page(self, tokens: int, head: "Head") -> Tensor:
        """A page of so many rows that nobody else uses; what is in it is arbitrary."""
        if self.used == len(self.pages):
            self.pages.append(head.weight.new_empty(tokens, len(head.weight), dtype=torch.float32))
        self.used += 1
        return self.pages[self.used - 1][:tokens]

    def softmax(self, logits: Tensor, head: "Head") -> Tensor:
        """Probabilities in a page of their own."""
        return torch.softmax(logits, -1, out=self.page(len(logits), head))

    def clear(self) -> None:
        """All pages are free: another chunk begins."""
        self.used = 0


# (logits of some tokens in float32, their probabilities, which tokens, room) → the sum of their losses. Where the
# loss has a gradient it leaves that with respect to the logits in the place of the probabilities.
ChunkLoss = Callable[[Tensor, Tensor, slice, Room], Tensor]


@dataclass(frozen=True)
class Head:
    """How a model comes from its last states to logits: cap · tanh((W h + b) / cap), or without a cap W h + b."""

    weight: Tensor  # (vocabulary, width)
    bias: Tensor | None = None
    cap: float | None = None

    def logits(self, states: Tensor, room: Room) -> Tensor:
        """Logits of some states (tokens, width) in float32, in a page; the product is in the states' own precision."""
        page = room.page(len(states), self)
        low = states.dtype != torch.float32
        found = torch.mm(states, self.weight.t(), out=None if low else page)
        if self.bias is not None:
            found.add_(self.bias)
        if self.cap is not None:  # in the product's own precision, as transformers' models do
            found.div_(self.cap).tanh_().mul_(self.cap)
        return page.copy_(found) if low else page

    def at_work(self, dtype: torch.dtype) -> "Head":
        """Itself without history, its weight converted once and not for every chunk."""
        bias = None if self.bias is None else self.bias.detach().to(dtype)
        return Head(self.weight.detach().to(dtype), bias, self.cap)


def head_of(model: Any) -> Head | None:
    """The model's head where it is a plain layer of a known family; None for wrappers, adapters on the head, others."""
    config = getattr(model, "config", None)
    if getattr(config, "model_type", "") not in FAMILIES:
        return None
    find = getattr(model, "get_output_embeddings", None)
    layer = find() if find else None
    # A layer of another type, or one that somebody listens to, may do more than its product.
    if type(layer) is not nn.Linear or layer._forward_hooks or layer._forward_pre_hooks:
        return None
    gather = getattr(model, "unshard", None)  # where the weights are spread over several devices
    if gather:
        gather()
    return Head(layer.weight, layer.bias, getattr(config, "final_logit_softcapping", None))


def chunks(tokens: int, vocabulary: int, device: torch.device) -> Iterator[slice]:
    """The tokens in parts whose logits fit the budget."""
    rows = BUDGET["cpu" if device.type == "cpu" else "cuda"] // (4 * vocabulary)
    rows = max(GRAIN, rows // GRAIN * GRAIN)
    for start in range(0, tokens, rows):
        yield slice(start, min(start + rows, tokens))


class _Gradients:
    """Gradients of states, weight and bias, summed up in float32 over the chunks; those that nobody wants are None."""

    def __init__(self, states: Tensor, head: Head, wanted: tuple[bool, ...]):
        self.head, self.inputs = head, states
        like = (states, head.weight, head.bias)
        self.found = [
            torch.zeros_like(t, dtype=torch.float32) if w and t is not None else None
            for t, w in zip(like, wanted, strict=True)
        ]

    def add(self, part: slice, logits: Tensor, by: Tensor) -> None:
        """Add what the gradient `by` of a chunk's logits gives; both are used up."""
        if self.head.cap is not None:
            by.mul_(logits.div_(self.head.cap).square_().neg_().add_(1.0))
        states, weight, bias = self.found
        if bias is not None:
            bias.add_(by.sum(0))
        by = by.to(self.inputs.dtype)
        if states is not None:
            states[part] = by @ self.head.weight
        if weight is None:
            return
        if by.dtype == torch.float32:
            weight.addmm_(by.t(), self.inputs[part])
        else:  # every chunk in low precision, their sum in float32
            weight.add_(by.t() @ self.inputs[part])


class _Summed(torch.autograd.Function):
    """The sum of a loss over all tokens; the gradients are made on the way forward and only scaled on the way back."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, bias: Tensor | None, cap: Any, loss: ChunkLoss
    ) -> Tensor:
        wanted = tuple(ctx.needs_input_grad[:3])
        head = Head(weight, bias, cap).at_work(states.dtype)
        gradients = _Gradients(states, head, wanted)
        total = states.new_zeros((), dtype=torch.float64)
        room = Room()
        for part in chunks(len(states), len(weight), states.device):
            room.clear()
            logits = head.logits(states[part], room)
            p = room.softmax(logits, head)
            total += loss(logits, p, part, room)
            if any(wanted):
                gradients.add(part, logits, p)
        ctx.save_for_backward(*gradients.found)
        ctx.dtypes = (states.dtype, weight.dtype, None if bias is None else bias.dtype)
        return total.float()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        pairs = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        found = [None if g is None else (g * upstream).to(dtype) for g, dtype in pairs]
        return (*found, None, None)


class _EveryToken(torch.autograd.Function):
    """The cross-entropy of every token; logits are made again on the way back, where every token has its own factor."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, bias: Tensor | None, cap: Any, targets: Tensor
    ) -> Tensor:
        ctx.save_for_backward(states, weight, bias, targets)
        ctx.cap = cap
        return _lost_and_guessed(states, Head(weight, bias, cap), targets)[0]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        states, weight, bias, targets = ctx.saved_tensors
        head = Head(weight, bias, ctx.cap).at_work(states.dtype)
        gradients = _Gradients(states, head, tuple(ctx.needs_input_grad[:3]))
        # A loss scale must not drive the products out of half precision's range: the largest factor is 1.
        largest = upstream.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
        factors = (upstream / largest)[:, None]
        room = Room()
        for part in chunks(len(states), len(weight), states.device):
            room.clear()
            logits = head.logits(states[part], room)
            p = room.softmax(logits, head)
            _subtract_targets(p, targets[part])
            gradients.add(part, logits, p.mul_(factors[part]))
        pairs = zip(gradients.found, (states, weight, bias), strict=True)
        found = [None if g is None else (g * largest).to(like.dtype) for g, like in pairs]
        return (*found, None, None)


def mean_loss(states: Tensor, head: Head, loss: ChunkLoss) -> Tensor:
    """The mean of a loss over the tokens of `states` (tokens, width), differentiable in states and head."""
    given = (states, head.weight, head.bias)
    if not torch.is_grad_enabled():
        given = tuple(None if t is None else t.detach() for t in given)  # type: ignore[assignment]
    with torch.autocast(states.device.type, enabled=False):
        found: Tensor = _Summed.apply(*given, head.cap, loss)
        return found / len(states)


def every_loss(states: Tensor, head: Head, targets: Tensor) -> Tensor:
    """Cross-entropies against the targets, shape (tokens,), differentiable in states and head."""
    with torch.autocast(states.device.type, enabled=False):
        found: Tensor = _EveryToken.apply(states, head.weight, head.bias, head.cap, targets)
        return found


def _subtract_targets(p: Tensor, targets: Tensor) -> None:
    """Make of probabilities the gradient of every token's cross-entropy: less 1 at the target."""
    p[torch.arange(len(p), device=p.device), targets] -= 1.0


def _log_sum(logits: Tensor, p: Tensor) -> Tensor:
    """log Σ exp z of every token, from its likeliest word: z − log p, without another pass over exponentials."""
    top, place = logits.max(-1)
    return top - p.gather(-1, place[:, None])[:, 0].log()


def _cross_entropies(logits: Tensor, p: Tensor, targets: Tensor) -> Tensor:
    return _log_sum(logits, p) - logits.gather(-1, targets[:, None])[:, 0]


def _lost_and_guessed(states: Tensor, head: Head, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropies and likeliest words of all tokens."""
    head, room = head.at_work(states.dtype), Room()
    lost, guessed = [], []
    for part in chunks(len(states), len(head.weight), states.device):
        room.clear()
        logits = head.logits(states[part], room)
        lost.append(_cross_entropies(logits, room.softmax(logits, head), targets[part]))
        guessed.append(logits.argmax(-1))
    return torch.cat(lost), torch.cat(guessed)


def against_targets(targets: Tensor) -> ChunkLoss:
    """Cross-entropy against the targets (tokens,)."""

    def loss(logits: Tensor, p: Tensor, part: slice, room: Room) -> Tensor:
        found = _cross_entropies(logits, p, targets[part]).sum()
        _subtract_targets(p, targets[part])
        return found

    return loss


def against_uniform() -> ChunkLoss:
    """KL(U ‖ p) = log Σ exp z − mean z − log V."""

    def loss(logits: Tensor, p: Tensor, part: slice, room: Room) -> Tensor:
        words = logits.shape[-1]
        found = (_log_sum(logits, p) - logits.mean(-1) - math.log(words)).sum()
        p.sub_(1.0 / words)
        return found

    return loss


def against_teacher(states: Tensor, head: Head) -> ChunkLoss:
    """KL(T ‖ S) to a teacher given by its states (tokens, width) and head, whose logits live no longer than a chunk's."""
    head = head.at_work(states.dtype)

    def loss(logits: Tensor, p: Tensor, part: slice, room: Room) -> Tensor:
        shown = head.logits(states[part], room)
        wanted = room.softmax(shown, head)
        apart = _log_sum(logits, p) - _log_sum(shown, wanted)
        p.sub_(wanted)
        # KL = Σ p_T (z_T − z_S) − log Σ exp z_T + log Σ exp z_S
        return (shown.sub_(logits).mul_(wanted).sum(-1) + apart).sum()

    return loss


def by_chunks(model: Any, batch: Batch) -> Head | None:
    """The model's head where the batch's logits are many enough to be made in chunks, else None."""
    if len(batch.targets) * vocabulary_of(model) < LARGE:
        return None
    return head_of(model)


def shared(mean: Tensor, batch: Batch) -> Tensor:
    """A batch's mean over tokens as its part of a step that several batches make: the step's is that of all its tokens."""
    return mean if batch.weight == 1.0 else mean * batch.weight


def cross_entropy(model: Any, batch: Batch) -> Tensor:
    """Mean cross-entropy of a batch's answers in nats."""
    head = by_chunks(model, batch)
    if head is None:
        return shared(losses.cross_entropy(scored_logits(model, batch), batch.targets), batch)
    loss = against_targets(batch.targets)
    return shared(mean_loss(scored_states(model, batch), head, loss), batch)


def uniform_divergence(model: Any, batch: Batch) -> Tensor:
    """Mean KL(U ‖ p) at a batch's scored positions in nats."""
    head = by_chunks(model, batch)
    if head is None:
        return shared(losses.uniform_divergence(scored_logits(model, batch)), batch)
    return shared(mean_loss(scored_states(model, batch), head, against_uniform()), batch)


def forward_divergence(teacher: Any, student: Any, batch: Batch) -> Tensor:
    """Mean KL(T ‖ S) at a batch's scored positions in nats; no gradient reaches the teacher."""
    head = by_chunks(student, batch)
    wanted = head_of(teacher) if head else None
    if head is None or wanted is None:
        with torch.no_grad():
            shown = scored_logits(teacher, batch)
        return shared(losses.forward_divergence(shown, scored_logits(student, batch)), batch)
    with torch.no_grad():
        loss = against_teacher(scored_states(teacher, batch), wanted)
    return shared(mean_loss(scored_states(student, batch), head, loss), batch)


def token_losses(model: Any, batch: Batch) -> Tensor:
    """Cross-entropy of every scored token in nats, shape (scored,)."""
    head = by_chunks(model, batch)
    if head is None:
        return losses.token_losses(scored_logits(model, batch), batch.targets)
    return every_loss(scored_states(model, batch), head, batch.targets)


@torch.no_grad()
def token_losses_and_guesses(model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """Cross-entropies in nats and likeliest tokens at the scored positions, both of shape (scored,), without gradient."""
    head = by_chunks(model, batch)
    if head is None:
        logits = scored_logits(model, batch).float()
        return losses.token_losses(logits, batch.targets), logits.argmax(-1)
    return _lost_and_guessed(scored_states(model, batch), head, batch.targets)
