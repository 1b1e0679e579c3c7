"""Several processes of one machine, a device each, that do one run together: its *ranks*.

Every rank executes the whole run. While a training step's loss is computed a rank sees its share of the rows of every
batch, and while a split is scored its share of the split; whatever follows from losses, gradients and scores follows on all
ranks from the same reduced numbers, so that they take the same decisions at the same step. A step over N ranks is the step
that one device would do: the same rows, the same weights in the mean, the same gradient up to rounding.

Gradients are averaged once a step, after the last of its batches. A loss here may call its model twice and ask for gradients
by itself, which hooks on the way back, as data parallelism usually has them, would not survive.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

BUCKET = 1 << 24  # numbers that are averaged in one message

Found = tuple[float, dict[str, Tensor]]  # a loss and its named parts
Loss = TypeVar("Loss", bound=Callable[..., Any])


def by_rows(loss: Loss) -> Loss:
    """Say of a loss that its batches may be divided among ranks: it counts every batch with the batch's own weight."""
    return _marked(loss, "rows")


def by_tokens(loss: Loss) -> Loss:
    """Say of a forget loss that it is a mean over the scored tokens of the step's batch, each by itself."""
    return _marked(loss, "tokens")


def by_items(loss: Loss) -> Loss:
    """Say of a forget loss that it is a mean over the items of the step's batch, each by itself."""
    return _marked(loss, "items")


def _marked(loss: Loss, how: str) -> Loss:
    loss.divided = how  # type: ignore[attr-defined]
    return loss


def divided(loss: Any) -> Literal["rows", "tokens", "items"] | None:
    """How a loss's batches may be divided among ranks; None where every rank has to compute it in whole."""
    return getattr(loss, "divided", None)


@dataclass
class Team:
    """The ranks of a run as one of them sees them; by default there is one, to which nothing here does anything."""

    rank: int = 0
    ranks: int = 1
    # Full: weights, gradients and the optimiser's state are spread over the ranks.
    sharding: str = "none"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    meter: Any = None  # the run's ledger
    dividing: bool = False  # while a loss is computed whose batches are divided

    @property
    def first(self) -> bool:
        """Whether this rank is the one that reports and writes."""
        return self.rank == 0

    @property
    def sharded(self) -> bool:
        """Whether a model in training is spread over the ranks."""
        return self.ranks > 1 and self.sharding == "full"

    @property
    def draws(self) -> int:
        """What to add to a seed, so that ranks which see different rows draw different numbers."""
        return self.rank * 7_368_787 if self.dividing else 0

    def share(self, rows: np.ndarray) -> np.ndarray:
        """This rank's rows among those of a batch, of which some ranks may have none."""
        return rows[self._bounds(len(rows))] if self.dividing else rows

    def _bounds(self, count: int) -> slice:
        return slice(self.rank * count // self.ranks, (self.rank + 1) * count // self.ranks)

    def pieces(self, count: int, at_once: int) -> list[slice]:
        """The rows of a split that this rank scores, in parts for a pass each; as many parts on every rank."""
        if not self.splits(count):
            return [slice(start, start + at_once) for start in range(0, count, at_once)]
        mine = self._bounds(count)
        passes = max(1, math.ceil(count // self.ranks / at_once))
        edges = [mine.start + i * (mine.stop - mine.start) // passes for i in range(passes + 1)]
        return [slice(a, b) for a, b in zip(edges, edges[1:], strict=False)]

    def splits(self, count: int) -> bool:
        """Whether a split of so many rows is divided at all."""
        return self.ranks > 1 and count >= self.ranks

    @contextmanager
    def counting(self, apart: bool) -> Iterator[None]:
        """Where ranks work apart, the ledger gets the sum of what they do here; else what one of them does."""
        if self.ranks == 1 or not apart:
            yield
            return
        meter = self.meter
        flops, tokens = meter.flops, meter.tokens
        yield
        found = self.total([meter.flops - flops, float(meter.tokens - tokens)])
        meter.flops, meter.tokens = flops + found[0], tokens + int(found[1])

    def together(
        self, weights: Iterable[Tensor], backward: Callable[[], Found], loss: Callable[..., Any]
    ) -> Found:
        """Do a step's passes, and leave in the weights the gradient of its whole batches; their loss and its parts."""
        if self.ranks == 1:
            return backward()
        self.dividing = divided(loss) is not None
        try:
            # Sharded weights average their gradients by themselves.
            averaged = nullcontext() if self.sharded else self._averaged(list(weights))
            with self.counting(self.dividing), averaged:
                total, parts = backward()
        finally:
            self.dividing = False
        values = [
            torch.tensor(total, dtype=torch.float64),
            *(part.detach() for part in parts.values()),
        ]
        means = self._reduced(
            torch.stack([v.to(self.device, torch.float64) for v in values]), "mean"
        )
        return float(means[0]), dict(zip(parts, means[1:], strict=True))

    @contextmanager
    def _averaged(self, weights: list[Tensor]) -> Iterator[None]:
        """Gradients that are added while the context is open are averaged over the ranks."""
        before = [weight.grad for weight in weights]
        for weight in weights:
            weight.grad = None
        yield
        self._average(weights)
        for weight, earlier in zip(weights, before, strict=True):
            if earlier is not None:
                weight.grad = earlier if weight.grad is None else weight.grad.add_(earlier)

    def _average(self, weights: list[Tensor]) -> None:
        """Average the weights' gradients; a rank whose rows did not reach a weight (an expert's) counts as 0."""
        reached = self.total([float(weight.grad is not None) for weight in weights])
        found = []
        for weight, ranks in zip(weights, reached, strict=True):
            if ranks and weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            if weight.grad is not None:
                found.append(weight.grad)
        for bucket in _buckets(found):
            self._average_bucket(bucket)

    @torch.no_grad()
    def _average_bucket(self, gradients: list[Tensor]) -> None:
        flat = torch.cat([gradient.reshape(-1).float() for gradient in gradients])
        torch.distributed.all_reduce(flat)
        flat.div_(self.ranks)
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, mean in zip(gradients, flat.split(sizes), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean of a tensor of this shape over the ranks."""
        return tensor if self.ranks == 1 else self._reduced(tensor.to(self.device), "mean")

    def total(self, numbers: list[float]) -> list[float]:
        """The sums of some numbers over the ranks."""
        if self.ranks == 1:
            return numbers
        found = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        return [float(number) for number in self._reduced(found, "sum").tolist()]

    def largest(self, number: int) -> int:
        """The largest of the ranks' numbers."""
        if self.ranks == 1:
            return number
        return int(self._reduced(torch.tensor([number], device=self.device), "max"))

    def _reduced(self, tensor: Tensor, how: str) -> Tensor:
        from accelerate.utils import reduce

        found: Tensor = reduce(tensor, how)
        return found

    def agreed(self, decision: bool) -> bool:
        """The first rank's decision."""
        if self.ranks == 1:
            return decision
        from accelerate.utils import broadcast

        return bool(broadcast(torch.tensor([int(decision)], device=self.device)))

    @torch.no_grad()
    def level(self, tensors: Iterable[Tensor]) -> None:
        """Give all ranks the first one's tensors, should what each made for itself differ in a last digit."""
        for tensor in tensors if self.ranks > 1 else ():
            sent = tensor.to(
                self.device, torch.uint8 if tensor.dtype == torch.bool else tensor.dtype
            )
            torch.distributed.broadcast(sent, 0)
            tensor.copy_(sent)

    def joined(self, tensor: Tensor) -> Tensor:
        """All ranks' tensors one after the other, on the CPU; they may differ in their first dimension."""
        if self.ranks == 1:
            return tensor
        from accelerate.utils import gather, pad_across_processes

        sizes = gather(torch.tensor([len(tensor)], device=self.device)).tolist()
        kind = tensor.dtype
        whole = tensor.to(self.device, torch.uint8 if kind == torch.bool else kind)
        rows = gather(pad_across_processes(whole)).cpu().to(kind).split(max(sizes))
        return torch.cat([part[:size] for part, size in zip(rows, sizes, strict=True)])


def _buckets(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors in groups of about a message's size."""
    group: list[Tensor] = []
    for tensor in tensors:
        if group and sum(t.numel() for t in group) + tensor.numel() > BUCKET:
            yield group
            group = []
        group.append(tensor)
    if group:
        yield group


_current = [Team()]


def team() -> Team:
    """The ranks that work on this process's run."""
    return _current[-1]


@contextmanager
def at_work(ranks: Team) -> Iterator[Team]:
    """While the context is open these ranks do what this process does."""
    _current.append(ranks)
    try:
        yield ranks
    finally:
        _current.pop()
