"""Problems among other text: one stream of documents in which the text has a given share of the tokens."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from tokenizers import Tokenizer

from backend.stage import UserError

SAMPLED = 300  # documents by which tokens a character are measured

Documents = Callable[[], Iterable[str]]


def mixed(text: Documents, problems: Documents, share: float, tokenizer: Tokenizer) -> Iterator[str]:  # fmt: skip
    """All problems in their order, with documents of the text between them that have `share` of all tokens.

    Tokens are counted by characters, at the rate of the first few hundred documents of each kind. Text that is used up is
    read again from its start.

    Raises:
        UserError: the text has no document
    """
    if not share:
        yield from problems()
        return
    rates = [tokens_a_character(tokenizer, kind()) for kind in (text, problems)]
    others = _again_and_again(text)
    read, asked = 0.0, 0.0
    for problem in problems():
        asked += rates[1] * len(problem)
        while read < asked * share / (1 - share):
            document = next(others)
            read += rates[0] * len(document)
            yield document
        yield problem


def tokens_a_character(tokenizer: Tokenizer, documents: Iterable[str]) -> float:
    """Measured on the first few hundred documents, their end tokens included; 0 where there is none."""
    some = list(islice(documents, SAMPLED))
    tokens = sum(len(one.ids) + 1 for one in tokenizer.encode_batch_fast(some, add_special_tokens=False))  # fmt: skip
    return tokens / max(1, sum(map(len, some)))


def _again_and_again(text: Documents) -> Iterator[str]:
    while True:
        empty = True
        for document in text():
            empty = False
            yield document
        if empty:
            raise UserError("There is no text to mix the problems into; give more of it.")
