"""Measuring a model on a split: one pass, then every metric from the same scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from backend.data import IGNORE, Task
from backend.models import Loader, scored_logits
from backend.registry import load
from backend.stage import Answered, Measured

ROWS = 1024  # rows of a forward pass without gradients


@dataclass(frozen=True)
class Scores:
    """What a pass over a split leaves for the metrics: arrays over its items.

    `loss` is the sum of an item's scored cross-entropies in nats, `tokens` their number, `correct` whether every
    scored token was the likeliest one (so greedy decoding gives the answer), `predicted` the likeliest tokens.
    """

    loss: np.ndarray
    tokens: np.ndarray
    correct: np.ndarray
    predicted: list[np.ndarray]


@torch.no_grad()
def score(model: Any, loader: Loader) -> Scores:
    """One pass in evaluation mode over all rows."""
    was_training = model.training
    model.eval()
    losses, right, likeliest = [], [], []
    for batch in loader.parts(ROWS):
        logits = scored_logits(model, batch).float()
        losses.append(F.cross_entropy(logits, batch.targets, reduction="none").cpu())
        guess = logits.argmax(dim=-1)
        right.append((guess == batch.targets).cpu())
        likeliest.append(guess.cpu())
    model.train(was_training)
    counts = (loader.targets != IGNORE).sum(dim=1).cpu().numpy()
    return _per_item(
        torch.cat(losses).double().numpy(), torch.cat(right).numpy(), torch.cat(likeliest), counts
    )


def _per_item(losses: np.ndarray, right: np.ndarray, guess: Any, counts: np.ndarray) -> Scores:
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return Scores(
        loss=np.add.reduceat(losses, starts),
        tokens=counts,
        correct=np.logical_and.reduceat(right, starts),
        predicted=np.split(guess.numpy(), starts[1:]),
    )


def evaluate(
    model: Any,
    task: Task,
    split: str,
    loader: Loader,
    step: int = 0,
    *,
    metrics: Sequence[str] | None = None,
    categories: bool = True,
    keep_items: bool = True,
) -> list[Measured]:
    """Rows of every metric on a split: over all items, and for each category of items."""
    return measure(score(model, loader), task, split, step, metrics, categories, keep_items)


def measure(
    scores: Scores,
    task: Task,
    split: str,
    step: int,
    metrics: Sequence[str] | None = None,
    categories: bool = True,
    keep_items: bool = True,
) -> list[Measured]:
    """The rows that follow from scores."""
    rows: list[Measured] = []
    for name in metrics or task.metrics:
        values = np.asarray(_metric(name)(scores), dtype=np.float64)
        rows.append(_row(name, split, step, "", values, keep_items))
        if categories:
            rows += [
                _row(name, split, step, category, values[chosen], False)
                for category, chosen in _categories(task.splits[split].categories).items()
            ]
    return rows


def _metric(name: str) -> Any:
    return load("metrics", name)


@lru_cache(maxsize=64)
def _categories(names: tuple[str, ...]) -> dict[str, np.ndarray]:
    array = np.array(names)
    return {str(name): array == name for name in np.unique(array)} if names else {}


def _row(
    name: str, split: str, step: int, category: str, values: np.ndarray, keep: bool
) -> Measured:
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return Measured(
        name,
        split,
        float(values.mean()),
        step,
        category,
        error,
        len(values),
        values.astype(np.float32) if keep else None,
    )


def mean_of(rows: Sequence[Measured], metric: str) -> float:
    """A metric's mean over all items among some rows."""
    row = next(row for row in rows if row.metric == metric and row.category == "")
    assert row.value is not None
    return row.value


def answers(scores: Scores, task: Task, split: str, step: int) -> list[Answered]:
    """The first few questions of each category with the model's answers, the same ones for every model."""
    examples = task.splits[split]
    chosen = _sampled(examples.categories or ("",) * len(examples), task.sampled)
    rows = []
    for item in chosen:
        targets = examples.targets[item]
        rows.append(
            Answered(
                split,
                step,
                int(item),
                examples.categories[item] if examples.categories else "",
                task.text(examples.input_ids[item]),
                task.text(targets[targets != IGNORE]),
                task.text(scores.predicted[item]),
                bool(scores.correct[item]),
            )
        )
    return rows


@lru_cache(maxsize=64)
def _sampled(categories: tuple[str, ...], count: int) -> tuple[int, ...]:
    array = np.array(categories)
    spread = [
        positions[:: max(1, len(positions) // count)][:count]
        for positions in (np.flatnonzero(array == name) for name in np.unique(array))
    ]
    return tuple(sorted(int(i) for i in np.concatenate(spread)))
