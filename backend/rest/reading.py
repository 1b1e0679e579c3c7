"""What a request says, read: JSON of finite numbers, and texts that a database and an answer can hold."""

import json
import math
from typing import Any


class NoText(Exception):
    """A text of a request is none; the one sentence says why."""


def document(body: bytes) -> Any:
    """What a body says.

    Raises:
        ValueError: it is not JSON; its texts are UTF-8 and its numbers finite
        RecursionError: it is nested too deep
        NoText: see `whole`
    """
    text = body.decode("utf-8-sig")
    return whole(json.loads(text, parse_constant=_finite, parse_float=_finite))


def whole(given: Any) -> Any:
    """The same document, all of whose texts, names too, are ones.

    Raises:
        NoText: a text has half a character or a zero byte, which no database and no answer could hold
    """
    left = [given]
    while left:  # no recursion: a document may be nested deep
        one = left.pop()
        if isinstance(one, str):
            _check(one)
        elif isinstance(one, dict):
            left += [*one, *one.values()]
        elif isinstance(one, list):
            left += one
    return given


def _check(text: str) -> None:
    if "\0" in text:
        raise NoText("A text holds a zero byte, which no text may.")
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        raise NoText(f"A text holds half a character, {text[problem.start]!r}, which no text may.") from problem  # fmt: skip


def _finite(word: str) -> float:
    number = float(word)
    if not math.isfinite(number):
        raise ValueError(f"{word} is no finite number")
    return number
