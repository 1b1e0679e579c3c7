"""Prompts and what is said after them, as rows of tokens cut the way lm-eval cuts them."""

from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer

from backend.data import IGNORE, Examples

Pair = tuple[list[int], np.ndarray]  # tokens that are read, tokens that are scored


def pairs(tokenizer: Tokenizer, prompts: Sequence[str], said: Sequence[str]) -> list[Pair]:
    """Both as tokens: the prompt's as they are alone, then what its continuation adds to them.

    The tokenizer's own special tokens stand in front where it puts some (Gemma's <bos>), as in the library lm-eval.
    """
    alone = tokenizer.encode_batch_fast(list(prompts), add_special_tokens=True)
    both = [prompt + text for prompt, text in zip(prompts, said, strict=True)]
    whole = tokenizer.encode_batch_fast(both, add_special_tokens=True)
    return [
        (read.ids, np.array(all_.ids[len(read.ids) :], dtype=np.int64))
        for read, all_ in zip(alone, whole, strict=True)
    ]


def scored(found: Sequence[Pair], longest: int = 0) -> Examples:
    """A row a pair in which the continuation is scored, filled up on the right with token 0; shape (pairs, length).

    With `longest` no row has more tokens than that: what is too much is left out at the prompt's start, then at the
    continuation's end.
    """
    cut = [_fitted(read, said, longest + 1) for read, said in found] if longest else list(found)
    length = max((len(read) + len(said) for read, said in cut), default=2) - 1
    inputs = np.zeros((len(cut), length), dtype=np.int64)
    targets = np.full_like(inputs, IGNORE)
    for row, (read, said) in enumerate(cut):
        tokens = np.concatenate([np.array(read, dtype=np.int64), said])
        inputs[row, : len(tokens) - 1] = tokens[:-1]
        targets[row, len(read) - 1 : len(tokens) - 1] = said
    return Examples(inputs, targets)


def _fitted(read: list[int], said: np.ndarray, room: int) -> Pair:
    said = said[: room - 1]
    return read[-(room - len(said)) :], said


def texts(tokenizer: Tokenizer, documents: Sequence[str], longest: int) -> Examples:
    """A row a document of at most `longest` tokens, every token but its first one scored."""
    cut = [one.ids[: longest + 1] for one in tokenizer.encode_batch_fast(list(documents))]
    return scored([(ids[:1], np.array(ids[1:], dtype=np.int64)) for ids in cut if len(ids) > 1])
