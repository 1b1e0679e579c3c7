"""What models say to items: answers, and the log-probability of every token of the expected answer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from backend.batches import Loader
from backend.data import Task
from backend.evaluation import score
from backend.generation import generated
from backend.playground.encoding import end_token
from backend.playground.items import Item
from backend.stage import UserError
from backend.text.pairs import scored
from backend.wrapping import Wrapper

AT_ONCE = 64  # items between two signs of life

Check = Callable[[int], None]


def answers_of(
    model: Any, task: Task, items: Sequence[Item], how: Mapping[str, Any], check: Check
) -> list[dict[str, Any]]:
    """One model's answers: {"text", "tokens", "ended", "right"} for every item, in order.

    A text ends before the token that ends texts; `ended` says whether there was one. `right` is None where no answer is
    expected, or one longer than what was drawn. Draws begin anew from the seed for every model. `check` is called with
    the number of items before every part.

    Raises:
        UserError: a prompt with its answer is longer than what the model reads
    """
    _fit(model, items, how["max_tokens"])
    generator = torch.Generator().manual_seed(how["seed"])
    found: list[dict[str, Any]] = []
    for part in _parts(items):
        check(len(part))
        drawn = generated(
            model,
            scored([(item.question, _one_more(item)) for item in part]),
            temperature=how["temperature"],
            top_p=how["top_p"],
            length=how["max_tokens"],
            generator=generator,
        )[0]
        found += [_answer(task, item, row) for item, row in zip(part, drawn, strict=True)]
    return found


def _one_more(item: Item) -> np.ndarray:
    """What marks the question's end: the first token of the expected answer, or any."""
    return item.expected[:1] if len(item.expected) else np.zeros(1, dtype=np.int64)


def _parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]


def _fit(model: Any, items: Sequence[Item], tokens: int) -> None:
    room = getattr(model.config, "max_position_embeddings", None)
    before = len(getattr(model, "context", ()))  # a wrapper's own prompt
    longest = max(len(item.question) + max(tokens, len(item.expected)) for item in items) + before
    if room is not None and longest > room:
        raise UserError(
            f"The prompt with its answer has up to {longest} tokens, and the model reads {room} at most; shorten the prompt"
            " or ask for fewer tokens."
        )


def _answer(task: Task, item: Item, drawn: np.ndarray) -> dict[str, Any]:
    end = end_token(task)
    closed = np.flatnonzero(drawn == end) if end is not None else np.zeros(0, dtype=int)
    said = drawn[: closed[0]] if len(closed) else drawn
    expected = item.expected
    known = 0 < len(expected) <= len(drawn)
    return {
        "text": text_of(task, said),
        "tokens": [int(token) for token in said],
        "ended": bool(len(closed)),
        "right": bool((drawn[: len(expected)] == expected).all()) if known else None,
    }


def probabilities_of(
    model: Any, items: Sequence[Item], references: Sequence[np.ndarray], check: Check
) -> list[dict[str, list[Any]]]:
    """{"log_p", "likeliest"} for every item: ln p of each token of a reference after the question, and the likeliest token.

    The whole reference is read, each token after the true ones before it; an empty one gives empty lists.
    """
    wanted = [(i, len(reference) > 0) for i, reference in enumerate(references)]
    chosen = [i for i, given in wanted if given]
    found: list[dict[str, list[Any]]] = [{"log_p": [], "likeliest": []} for _ in references]
    where = next(model.parameters()).device
    for part in _parts(chosen):
        check(len(part))
        rows = scored([(items[i].question, references[i]) for i in part])
        scores = score(model, Loader(rows, where))
        for place, i in enumerate(part):
            found[i]["log_p"] = [-float(loss) for loss in scores.token_losses[place]]
            found[i]["likeliest"] = [int(token) for token in scores.predicted[place]]
    return found


def text_of(task: Task, tokens: Any) -> str:
    """The text of some tokens; without the one character that databases do not store."""
    return task.text(tokens).replace("\x00", "\ufffd")


def is_wrapped(model: Any) -> bool:
    """Whether something stands between the prompt and the weights."""
    return isinstance(model, Wrapper)


def token_texts(task: Task, tokens: Sequence[int]) -> list[str]:
    """Each token as it reads alone; one that is a part of a character only, as the tokenizer writes it."""
    alone = (text_of(task, [token]) for token in tokens)
    return [
        task.words[token] if "\ufffd" in text else text
        for token, text in zip(tokens, alone, strict=True)
    ]
