"""Measuring a model on a split: one pass, then every metric from the same scores."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from backend.batches import Batch, Loader
from backend.data import IGNORE, Task
from backend.models import scored_logits, vocabulary_of
from backend.ranks import team
from backend.registry import load
from backend.stage import Answered, Measured, NotApplicable

ROWS = 1024  # rows of a forward pass without gradients
LOGITS = 1 << 25  # and so many logits at most, 128 MiB in float32


@dataclass(frozen=True)
class Scores:
    """What a pass over a split leaves for the metrics: arrays over its items, and lists with an array over the tokens of each.

    `loss` is the sum of an item's scored cross-entropies in nats, `tokens` their number, `correct` whether every
    scored token was the likeliest one (so greedy decoding gives the answer), `predicted` the likeliest tokens.
    `token_losses` and `token_right` say the same of every scored token. `means` and `variances` are those of log p over
    the vocabulary under p itself, at every scored token; only where `moments` were asked for. `choices` (items, k) are the
    losses of all answers of a multiple choice, the right one's first, and `characters` their lengths as text.
    """

    loss: np.ndarray
    tokens: np.ndarray
    correct: np.ndarray
    predicted: list[np.ndarray]
    token_losses: list[np.ndarray]
    token_right: list[np.ndarray]
    means: list[np.ndarray] | None = None
    variances: list[np.ndarray] | None = None
    choices: np.ndarray | None = None
    characters: np.ndarray | None = None


def score(model: Any, loader: Loader, *, moments: bool = False) -> Scores:
    """One pass in evaluation mode over all rows; where answers are chosen among several, one for each wrong one too."""
    found = _pass(model, loader, moments)
    if loader.choices is None:
        return found
    losses = found.choices
    if losses is None:
        wrong = [_pass(model, one).loss for one in loader.with_wrong_answers()]
        losses = np.stack([found.loss, *wrong], axis=1)
    return replace(found, choices=losses, characters=loader.choices.characters)


@torch.no_grad()
def _pass(model: Any, loader: Loader, moments: bool = False) -> Scores:
    was_training = model.training
    model.eval()
    letters = _single_tokens(loader)
    found: dict[str, list[torch.Tensor]] = {}
    with team().counting(team().splits(len(loader))):
        for rows in team().pieces(len(loader), rows_at_once(model, loader)):
            for name, values in _seen(model, loader.batch(rows), letters, rows, moments).items():
                found.setdefault(name, []).append(values.cpu())
    model.train(was_training)
    flat = {name: _whole(parts, len(loader)) for name, parts in found.items()}
    options = flat.pop("choices", None)
    counts = (loader.targets != IGNORE).sum(dim=1).cpu().numpy()
    scores = _per_item(flat, counts)
    return scores if options is None else replace(scores, choices=options)


def _seen(
    model: Any, batch: Batch, letters: torch.Tensor | None, rows: slice, moments: bool
) -> dict[str, torch.Tensor]:
    """What one pass over some rows says of their scored tokens, and of the answers among which they choose."""
    logits = scored_logits(model, batch).float()
    guess = logits.argmax(dim=-1)
    seen = {
        "losses": F.cross_entropy(logits, batch.targets, reduction="none").double(),
        "right": guess == batch.targets,
        "predicted": guess,
        **(_moments(logits) if moments else {}),
    }
    if letters is not None:  # all answers of a question are read from one position
        seen["choices"] = -logits.log_softmax(-1).gather(1, letters[rows]).double()
    return seen


def _whole(parts: list[torch.Tensor], count: int) -> np.ndarray:
    """What all passes saw, those of other ranks too."""
    mine = torch.cat(parts)
    return (team().joined(mine) if team().splits(count) else mine).numpy()


def _single_tokens(loader: Loader) -> torch.Tensor | None:
    """The answers to a multiple choice, shape (items, k), the right one first; None where one has several tokens."""
    if loader.choices is None:
        return None
    wrong = [[len(answer) for answer in item] for item in loader.choices.wrong]
    if set(itertools.chain.from_iterable(wrong)) != {1} or bool(
        ((loader.targets != IGNORE).sum(1) != 1).any()
    ):
        return None
    others = torch.tensor([[int(a[0]) for a in item] for item in loader.choices.wrong])
    right = loader.targets.max(dim=1).values[:, None]  # all other positions hold IGNORE
    return torch.cat([right, others.to(loader.where)], dim=1)


def rows_at_once(model: Any, loader: Loader) -> int:
    """How many rows a pass without gradients takes at a time: as many as keep the logits small."""
    return max(1, min(ROWS, LOGITS // (len(loader.columns) * vocabulary_of(model))))


def _moments(logits: torch.Tensor) -> dict[str, torch.Tensor]:
    """Mean and variance of log p under p at every scored token, in double precision."""
    log_p = logits.double().log_softmax(-1)
    p = log_p.exp()
    mean = (p * log_p).sum(-1)
    return {"means": mean, "variances": (p * (log_p - mean[:, None]).square()).sum(-1)}


def _per_item(flat: dict[str, np.ndarray], counts: np.ndarray) -> Scores:
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    ends = np.cumsum(counts)
    items = {
        name: [values[a:b] for a, b in zip(starts, ends, strict=True)]
        for name, values in flat.items()
    }
    return Scores(
        loss=np.add.reduceat(flat["losses"], starts),
        tokens=counts,
        correct=np.logical_and.reduceat(flat["right"], starts),
        predicted=items["predicted"],
        token_losses=items["losses"],
        token_right=items["right"],
        means=items.get("means"),
        variances=items.get("variances"),
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
        metric = _metric(name)
        try:
            values = np.asarray(metric(scores), dtype=np.float64)
        except NotApplicable:  # it says nothing about items of this kind
            continue
        tokens = scores.tokens if metric.declared["mean"] == "tokens" else None
        rows.append(item_row(name, split, values, step, keep=keep_items, weights=tokens))
        if categories:
            rows += [
                item_row(
                    name,
                    split,
                    values[chosen],
                    step,
                    category,
                    weights=None if tokens is None else tokens[chosen],
                )
                for category, chosen in _categories(task.splits[split].categories).items()
            ]
    return rows


def _metric(name: str) -> Any:
    return load("metrics", name)


@lru_cache(maxsize=64)
def _categories(names: tuple[str, ...]) -> dict[str, np.ndarray]:
    array = np.array(names)
    return {str(name): array == name for name in np.unique(array)} if names else {}


def item_row(
    name: str,
    split: str,
    values: np.ndarray,
    step: int = 0,
    category: str = "",
    *,
    keep: bool = False,
    weights: np.ndarray | None = None,
) -> Measured:
    """The row of a metric with a value for every item: their mean and its standard error; the values too, to `keep`.

    With `weights` (items,), numbers of tokens, the mean is that over all tokens, and its error that of a ratio.
    """
    mean, spread = float(values.mean()), values
    if weights is not None and len(np.unique(weights)) > 1:
        mean = float(np.average(values, weights=weights))
        spread = (values - mean) * weights / weights.mean()
    error = float(spread.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    kept = values.astype(np.float32) if keep else None
    return Measured(name, split, mean, step, category, error, len(values), kept)


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
