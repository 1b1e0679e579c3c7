"""Slices of training data, each for one low-rank addition, and those additions as a model carries them."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from backend.architecture import Projection, attention, blocks, mlp
from backend.context import RunContext
from backend.data import Examples, Task
from backend.labels import joined
from backend.pretraining import answer_loss
from backend.stage import RunFailed
from backend.training import train


@dataclass(frozen=True)
class Lesson:
    """What one addition learns from."""

    examples: Examples
    clean: bool  # neither it nor what was trained before it in its sequence saw an item that is deleted


@dataclass(frozen=True)
class Plan:
    """The public items, and the lessons of every shard's sequences: `shards[shard][sequence][position]`."""

    public: Examples
    shards: list[list[list[Lesson]]]


def sliced(
    task: Task,
    run: RunContext,
    *,
    public: float,
    shards: int,
    slices: int,
    sequences: int,
    placement: str,
    cumulative: bool,
) -> Plan:
    """Items dealt out by the run's seed; where retain items go does not depend on the forget items' contents.

    A share `public` of the retain items is public; the others and the labelled forget items are dealt to `shards` disjoint
    sets and there to `slices` slices. `random`: retain items evenly, every forget item to a slice of its own draw.
    `last`: a shard's forget items fill as many of its last slices as is their share of its items, retain items the others.
    Sequence j of a shard is its slices rotated by j · slices / sequences; with `cumulative` a lesson holds the slices before
    it too.

    Raises:
        RunFailed: a slice, or the public part, would be empty, or there are fewer rotations than sequences
    """
    retain, forget = task.train["retain"], task.train["forget"]
    order = run.numbers("public").permutation(len(retain))
    known = round(public * len(retain))
    numbers = run.numbers("slices")
    if sequences > slices:
        raise RunFailed(
            f"{sequences} sequences are more than the {slices} rotations of {slices} slices."
        )
    plan = []
    dealt = np.array_split(numbers.permutation(len(forget)), shards)
    for kept, dropped in zip(np.array_split(order[known:], shards), dealt, strict=True):
        parts = _parts(retain.take(kept), forget.take(dropped), slices, placement, numbers)
        if not known or any(len(a) + len(b) == 0 for a, b in parts):
            raise RunFailed(
                f"public = {public} leaves {known} of {len(retain)} retain items for the backbone and too few for"
                f" {shards} × {slices} slices; every one of them needs an item."
            )
        turns = [j * slices // sequences for j in range(sequences)]
        plan.append([_lessons(parts[j:] + parts[:j], cumulative) for j in turns])
    return Plan(retain.take(order[:known]), plan)


def _parts(
    retain: Examples, forget: Examples, slices: int, placement: str, numbers: np.random.Generator
) -> list[tuple[Examples, Examples]]:
    """The (retain, forget) items of a shard's slices."""
    kept, where = slices, numbers.integers(slices, size=len(forget))
    if placement == "last" and len(forget):
        share = len(forget) / (len(forget) + len(retain))
        last = min(max(1, round(slices * share)), max(1, slices - 1))
        kept, where = max(1, slices - last), slices - last + np.arange(len(forget)) % last
    rows = np.array_split(np.arange(len(retain)), kept) + [np.arange(0)] * (slices - kept)
    return [
        (retain.take(own), forget.take(np.flatnonzero(where == i))) for i, own in enumerate(rows)
    ]


def _lessons(parts: list[tuple[Examples, Examples]], cumulative: bool) -> list[Lesson]:
    """The lessons of one sequence of slices."""
    lessons = []
    for i in range(len(parts)):
        seen = parts[: i + 1]
        taught = [group for part in seen[0 if cumulative else i :] for group in part if len(group)]
        lessons.append(Lesson(reduce(joined, taught), not any(len(dropped) for _, dropped in seen)))
    return lessons


def places(model: Any, slices: int, modules: int) -> list[list[str]]:
    """The names of the matrices that every slice's addition sits on: MLP and attention modules from the top downward.

    Raises:
        RunFailed: the model has fewer such modules
    """
    known = {id(module): name for name, module in model.named_modules()}
    parts = [(mlp(block), attention(block)) for block in reversed(blocks(model))]
    names = [known[id(module)] for pair in parts for module in pair]
    if slices * modules > len(names):
        raise RunFailed(
            f"{slices} slices of {modules} modules do not fit on the model's {len(names)} MLP and attention modules."
        )
    groups = [names[i * modules : (i + 1) * modules] for i in range(slices)]
    return [
        [
            f"{name}.{inner}"
            for name in group
            for inner, module in model.get_submodule(name).named_modules()
            if isinstance(module, Projection)
        ]
        for group in groups
    ]


class LowRank(nn.Module):
    """W + scale · B A, with A drawn uniformly within 1/√inputs and B zero at first."""

    def __init__(self, weight: Tensor, rank: int, scale: float, generator: torch.Generator):
        super().__init__()
        outputs, inputs = weight.shape
        drawn = torch.rand(rank, inputs, generator=generator) * 2 - 1
        self.a = nn.Parameter((drawn / math.sqrt(inputs)).to(weight.device))
        self.b = nn.Parameter(torch.zeros(outputs, rank, device=weight.device))
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with the addition."""
        return weight + self.scale * (self.b @ self.a)


Prefix = tuple[int, int, int]  # shard, sequence, and how many of its additions, from the first


class Additions:
    """Low-rank additions to a frozen model, learnt one after another; all that is learnt lies in `run.tensors`.

    There it goes into the state of an interrupted run, which a resumed one has from the first step that it does again.
    """

    def __init__(
        self, model: Any, run: RunContext, where: list[list[str]], rank: int, alpha: float
    ):
        self.model, self.run, self.where = model, run, where
        self.rank, self.scale = rank, alpha / math.sqrt(rank)
        self.weights = dict(model.named_parameters())
        for name, weight in self.weights.items():
            run.tensors[f"backbone/{name}"] = weight.detach().clone()
        model.requires_grad_(False)

    def learn(self, before: Prefix, examples: Examples, size: int, **options: Any) -> None:
        """Train the addition that comes after those of `before`, which stand still as the backbone does."""
        label = "/".join(map(str, before))
        batches = self.run.batches(examples, size, f"slice {label}")
        standing = False

        def loss(k: int) -> Tensor:
            nonlocal standing
            if not standing:  # here, as a resumed training has its frozen weights only now
                self.set([before])
                standing = True
            return answer_loss(self.model, batches(k))

        with self._carried(before[2]) as additions:
            train(self.model, loss, self.run, **options)
        for name, addition in additions.items():
            self.run.tensors[f"{label}/{name}/a"] = addition.a.detach().clone()
            self.run.tensors[f"{label}/{name}/b"] = addition.b.detach().clone()

    @torch.no_grad()
    def set(self, prefixes: Iterable[Prefix]) -> None:
        """Make the model the backbone with these additions merged, averaged over the prefixes."""
        chosen, kept = list(prefixes), self.run.tensors
        for name, weight in self.weights.items():
            weight.copy_(kept[f"backbone/{name}"])
        for shard, sequence, length in chosen:
            for position, names in enumerate(self.where[:length]):
                for name in names:
                    a, b = (
                        kept[f"{shard}/{sequence}/{position}/{name}/{factor}"] for factor in "ab"
                    )
                    self.weights[f"{name}.weight"].add_(b @ a, alpha=self.scale / len(chosen))

    @contextmanager
    def _carried(self, position: int) -> Iterator[dict[str, LowRank]]:
        # All shards start a position from one A, so that the average of their additions stays near to each.
        generator = self.run.generator(f"addition {position}")
        linear = {name: self.model.get_submodule(name) for name in self.where[position]}
        additions = {}
        for name, module in linear.items():
            additions[name] = LowRank(module.weight, self.rank, self.scale, generator)
            parametrize.register_parametrization(module, "weight", additions[name])
        try:
            yield additions
        finally:
            for module in linear.values():
                parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
