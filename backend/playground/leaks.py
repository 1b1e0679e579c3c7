"""Where an answer says what it should not: the expected answer, or any text that the reader names."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

SIGN = "⚑"
SAYS, SILENT, UNKNOWN = "says it", "does not say it", "nothing to look for"

Span = tuple[int, int]


def needles(expected: str | None, more: str = "", ends: Iterable[str] = ()) -> list[str]:
    """The texts to look for: the expected answer without what closes it, and a list separated by commas."""
    answer = expected or ""
    for end in ends:
        answer = answer.removesuffix(end)
    found = (one.strip() for one in (answer, *more.split(",")))
    return list(dict.fromkeys(normal(one) for one in found if one))


def normal(text: str) -> str:
    """The text with composed characters: one form for what reads the same."""
    return unicodedata.normalize("NFC", text)


def spans(text: str, wanted: Iterable[str]) -> list[Span]:
    """Where one of the texts stands, in order and joined where they overlap; case and kind of blank do not count.

    A number does not count as part of a longer number, nor a word of Latin letters as part of a longer word.
    """
    found = sorted(
        match.span() for one in wanted if one.strip() for match in _pattern(one).finditer(text)
    )
    joined: list[Span] = []
    for start, end in found:
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def _pattern(needle: str) -> re.Pattern[str]:
    words = r"\s+".join(re.escape(word) for word in needle.split())
    return re.compile(_edge(needle.strip()[0], "<!") + words + _edge(needle.strip()[-1], "!"), re.I)


def _edge(character: str, look: str) -> str:
    """What must not stand beside an edge of the text."""
    if character.isdecimal():
        return rf"(?{look}\d)"
    return rf"(?{look}[A-Za-z])" if character.isascii() and character.isalpha() else ""


def leaked(text: str, wanted: Iterable[str]) -> list[str]:
    """The passages of a text that are marked, each once."""
    return list(dict.fromkeys(text[start:end] for start, end in spans(text, wanted)))


def verdict(answer: Mapping[str, Any], wanted: Iterable[str]) -> str:
    """Whether an answer says one of the texts."""
    looked_for = list(wanted)
    if not looked_for:
        return UNKNOWN
    return SAYS if spans(normal(answer["text"]), looked_for) else SILENT


def counts(items: Iterable[Mapping[str, Any]], models: int, more: str, ends: Iterable[str]) -> list[dict[str, int]]:  # fmt: skip
    """For each model how many items it answered right, wrong, and how many answers say what is looked for."""
    closing = list(ends)
    found = [{"right": 0, "wrong": 0, "says": 0} for _ in range(models)]
    for item in items:
        wanted = needles(item["expected"], more, closing)
        for count, answer in zip(found, item["answers"], strict=True):
            count["says"] += verdict(answer, wanted) == SAYS
            if answer["right"] is not None:
                count["right" if answer["right"] else "wrong"] += 1
    return found
