"""The same tokens or embeddings put into every question, and the search for those that bring answers out.

Examples with room hold the numbers −1, −2, … where the first, second, … of them is to stand.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from backend.attacking import PARTS
from backend.batches import Batch
from backend.context import RunContext
from backend.data import Examples, answers_of, with_answers
from backend.evaluation import ROWS
from backend.losses import cross_entropy, token_losses
from backend.models import scored_logits
from backend.prompts import fitting, prefixed

Place = Literal["before", "after"]


def with_room(examples: Examples, length: int, place: Place) -> Examples:
    """The same questions with room for `length` tokens before them, or between them and their answers."""
    room = [-1 - np.arange(length)] * len(examples)
    if place == "before":
        return prefixed(examples, room)
    return with_answers(examples, answers_of(examples), room)


def require_room(run: RunContext, model: Any, length: int) -> None:
    """NotApplicable where so many tokens more are too many for the model to read."""
    for part in ("attack", *PARTS):
        fitting(with_room(run.split(part), length, "before"), model)


def filled(input_ids: Tensor, tokens: Tensor) -> Tensor:
    """Rows (n, columns) with the tokens (length,) in their room, or each with its own ones (n, length)."""
    places = (-1 - input_ids).clamp(min=0)
    own = tokens.expand(len(input_ids), -1).gather(1, places.clamp(max=tokens.shape[-1] - 1))
    return torch.where(input_ids < 0, own, input_ids)


class Prompted(nn.Module):
    """A model that reads the rows of `prompt` (length, width) as embeddings where there is room for them."""

    def __init__(self, model: Any, start: Tensor):
        super().__init__()
        self.prompt = nn.Parameter(start.detach().clone())
        self.model, self.config = model, model.config

    def forward(self, input_ids: Tensor, logits_to_keep: Any = 0, **ignored: Any) -> Any:
        """What the model returns, with `.logits` (rows, kept, vocabulary)."""
        known = self.model.get_input_embeddings()(input_ids.clamp(min=0))
        own = self.prompt[(-1 - input_ids).clamp(min=0)]
        embedded = torch.where((input_ids < 0)[..., None], own.to(known.dtype), known)
        return self.model(
            inputs_embeds=embedded,
            logits_to_keep=logits_to_keep,
            use_cache=False,
            return_dict=True,
        )


class PromptedFirst(Prompted):
    """The same with the prompt before every question, which comes without room.

    `overhead` is a pass's cost over that of the question alone, of `question` tokens.
    """

    def __init__(self, model: Any, start: Tensor, question: int):
        super().__init__(model, start)
        self.overhead = 1 + len(start) / question

    def forward(self, input_ids: Tensor, logits_to_keep: Any = 0, **ignored: Any) -> Any:
        """See the class; positions count from the question's start."""
        length = len(self.prompt)
        room = -1 - torch.arange(length, device=input_ids.device)
        ids = torch.cat([room.expand(len(input_ids), -1), input_ids], dim=1)
        if isinstance(logits_to_keep, int):
            return super().forward(ids, logits_to_keep or input_ids.shape[1])
        return super().forward(ids, logits_to_keep + length)


@contextmanager
def frozen(model: Any) -> Iterator[None]:
    """No gradient reaches the model's weights while the context is open; then it is as it was."""
    training, learnt = model.training, [p.requires_grad for p in model.parameters()]
    model.requires_grad_(False)
    model.eval()
    try:
        yield
    finally:
        model.train(training)
        for parameter, flag in zip(model.parameters(), learnt, strict=True):
            parameter.requires_grad_(flag)


def embeddings_of(model: Any, tokens: Tensor) -> Tensor:
    """What the model reads in these tokens' place, shape (tokens, width)."""
    with torch.no_grad():
        found: Tensor = model.get_input_embeddings()(tokens)
    return found


def swap_gradients(prompted: Prompted, batch: Batch) -> Tensor:
    """How the loss would change, to first order, with each token in each place; shape (length, vocabulary).

    Up to a constant of each place: ∂L/∂e · E, which ranks tokens as GCG's one-hot gradient does.
    """
    loss = cross_entropy(scored_logits(prompted, batch), batch.targets)
    (gradient,) = torch.autograd.grad(loss, prompted.prompt)
    table: Tensor = prompted.model.get_input_embeddings().weight
    return gradient @ table.detach().T


def swaps(
    tokens: Tensor, gradients: Tensor, top_k: int, count: int, generator: torch.Generator
) -> Tensor:
    """`count` copies of the tokens, each with one exchanged for one of its place's `top_k` best, and the tokens at the end.

    Shape (count + 1, length); places and tokens are drawn from `generator` (Zou et al. 2023, algorithm 1).
    """
    best = (-gradients).topk(min(top_k, gradients.shape[1]), dim=1).indices
    places = torch.randint(len(tokens), (count,), generator=generator).to(tokens.device)
    picks = torch.randint(best.shape[1], (count,), generator=generator).to(tokens.device)
    found = tokens.repeat(count + 1, 1)
    found[torch.arange(count, device=tokens.device), places] = best[places, picks]
    return found


@torch.no_grad()
def losses_with(model: Any, batch: Batch, candidates: Tensor) -> Tensor:
    """The mean loss of a batch with room, with each of the candidates (n, length) in it; shape (n,)."""
    rows = len(batch.input_ids)
    at_once = max(1, ROWS // rows)
    found = []
    for some in candidates.split(at_once):
        ids = batch.input_ids.repeat(len(some), 1)
        chosen = None if batch.chosen is None else batch.chosen.repeat(len(some), 1)
        several = replace(
            batch,
            input_ids=filled(ids, some.repeat_interleave(rows, dim=0)),
            targets=batch.targets.repeat(len(some)),
            chosen=chosen,
        )
        losses = token_losses(scored_logits(model, several), several.targets)
        found.append(losses.view(len(some), -1).mean(dim=1))
    return torch.cat(found)
