"""Answers that a model gives when nobody shows it the true one: greedy, or drawn with a temperature and top-p."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from backend.data import IGNORE, Examples, answers_of
from backend.wrapping import Wrapper

ROWS = 1024  # rows of a forward pass
LONG = 4  # tokens of an answer from which on it pays to keep what was read


@torch.no_grad()
def generated(
    model: Any,
    examples: Examples,
    *,
    temperature: float = 0.0,
    top_p: float = 1.0,
    tries: int = 1,
    length: int | None = None,
    generator: torch.Generator | None = None,
) -> np.ndarray:
    """Tokens of `tries` answers to every question, shape (tries, items, length).

    An answer goes on from the question alone, so a later token sees the drawn ones before it. `length` is that of the
    longest true answer unless it is given. Temperature 0 is greedy: all tries are the same then. Draws come from
    `generator`, on the CPU. Long greedy answers read each token once against what was kept of the earlier ones; wrappers
    keep nothing.
    """
    was_training = model.training
    model.eval()
    where = next(model.parameters()).device
    length = length or max(map(len, answers_of(examples)))
    if not temperature and length >= LONG and not isinstance(model, Wrapper):
        kept = _greedy(model, examples, length)
        model.train(was_training)
        return kept[None].repeat(tries, axis=0)
    ids, ends = _questions(examples, length)
    found = np.zeros((tries, len(examples), length), dtype=np.int64)
    for one in range(tries if temperature else 1):
        for start in range(0, len(examples), ROWS):
            rows = slice(start, start + ROWS)
            given, last = ids[rows].clone().to(where), ends[rows].to(where)
            for place in range(length):
                drawn = _drawn(_next(model, given, last + place), temperature, top_p, generator)
                given[torch.arange(len(given), device=where), last + place + 1] = drawn
                found[one, rows, place] = drawn.cpu().numpy()
    model.train(was_training)
    return found if temperature else found[:1].repeat(tries, axis=0)


def _greedy(model: Any, examples: Examples, length: int) -> np.ndarray:
    """Greedy answers, shape (items, length)."""
    ends = (examples.targets != IGNORE).argmax(axis=1) + 1
    order = np.argsort(ends, kind="stable")  # questions of about one length together
    found = np.zeros((len(examples), length), dtype=np.int64)
    for rows in np.array_split(order, -(-len(order) // ROWS)):
        found[rows] = _written(model, examples.input_ids[rows], ends[rows], length)
    return found


def _written(model: Any, rows: np.ndarray, ends: np.ndarray, tokens: int) -> np.ndarray:
    """What is written after the first `ends` tokens of every row; questions end together, so room is left before the short ones."""
    where, width = next(model.parameters()).device, int(ends.max())
    read = np.arange(width) >= width - ends[:, None]
    shifted = np.zeros((len(rows), width), dtype=np.int64)
    shifted[read] = rows[:, :width][np.arange(width) < ends[:, None]]
    given, mask = torch.from_numpy(shifted).to(where), torch.from_numpy(read).to(where).long()
    kept, drawn, ragged = None, [], not read.all()
    for _ in range(tokens):
        told = {}
        if ragged:
            places = (mask.cumsum(-1) - 1).clamp(min=0)[:, -given.shape[1] :]
            told = {"attention_mask": mask, "position_ids": places}
        found = model(
            given, past_key_values=kept, use_cache=True, logits_to_keep=1, return_dict=True, **told
        )
        kept = found.past_key_values
        given = found.logits[:, -1:].argmax(-1)
        mask = torch.cat([mask, torch.ones_like(given)], dim=1)
        drawn.append(given)
    return torch.cat(drawn, dim=1).cpu().numpy()


def as_correct(examples: Examples, found: np.ndarray) -> np.ndarray:
    """Which tries give the true answer, token by token, shape (tries, items)."""
    right = np.zeros(found.shape[:2], dtype=bool)
    for item, answer in enumerate(answers_of(examples)):
        right[:, item] = (found[:, item, : len(answer)] == answer).all(-1)
    return right


def _questions(examples: Examples, length: int) -> tuple[Tensor, Tensor]:
    """The questions with room for an answer, and where each one ends."""
    ends = (examples.targets != IGNORE).argmax(axis=1)
    ids = np.zeros((len(examples), int(ends.max()) + 1 + length), dtype=np.int64)
    for row, end in enumerate(ends):
        ids[row, : end + 1] = examples.input_ids[row, : end + 1]
    return torch.from_numpy(ids), torch.from_numpy(ends)


def _next(model: Any, ids: Tensor, ends: Tensor) -> Tensor:
    """Logits of the token after each row's end; columns behind the last end are not read."""
    kept = torch.unique(ends)
    logits = model(
        ids[:, : int(ends.max()) + 1], logits_to_keep=kept, use_cache=False, return_dict=True
    ).logits
    return logits[torch.arange(len(ids)), torch.searchsorted(kept, ends)].float()


def _drawn(
    logits: Tensor, temperature: float, top_p: float, generator: torch.Generator | None
) -> Tensor:
    if temperature == 0:
        return logits.argmax(-1)
    p = torch.softmax(logits / temperature, -1).cpu()
    if top_p < 1:
        ranked, order = p.sort(-1, descending=True)
        outside = ranked.cumsum(-1) - ranked >= top_p
        outside[:, 0] = False  # so that some token is left at top_p = 0
        p = torch.zeros_like(p).scatter(-1, order, ranked.masked_fill(outside, 0.0))
    return torch.multinomial(p, 1, generator=generator)[:, 0].to(logits.device)
