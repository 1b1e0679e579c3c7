"""What all invented samples share: names that nobody bears, and facts with their wrong alternatives."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import product
from typing import Any

from backend.data import stream

CONSONANTS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z")
VOWELS = ("a", "e", "i", "o", "u")
Row = dict[str, Any]


@cache
def names(count: int, kind: str, ending: str = "") -> tuple[str, ...]:
    """So many different names of two or three syllables, the same ones for the same kind; smaller counts are nested."""
    syllables = ["".join(pair) for pair in product(CONSONANTS, VOWELS)]
    draw = stream(0, "names", kind)
    found: list[str] = []
    while len(found) < count:
        parts = draw.choice(len(syllables), size=int(draw.integers(2, 4)))
        name = "".join(syllables[i] for i in parts).capitalize() + ending
        found += [name] if name not in found else []
    return tuple(found)


def drawn(values: Sequence[str], name: str, purpose: str) -> str:
    """One of the values, by name and purpose alone."""
    return values[int(stream(0, "value", purpose, name).integers(len(values)))]


def among(right: str, values: Sequence[str], count: int, purpose: str) -> tuple[list[str], int]:
    """The right value among other ones, so many in all and in any order, and its place."""
    draw = stream(0, "choices", purpose)
    others = [value for value in values if value != right]
    wrong = [others[i] for i in draw.permutation(len(others))[: count - 1]]
    place = int(draw.integers(count))
    return [*wrong[:place], right, *wrong[place:]], place


def told_often(rows: Iterable[Row], rounds: int, purpose: str) -> Iterator[Row]:
    """All rows several times, every time in another order: what stands before a text must say nothing of it.

    Else a small model learns blocks by heart, and answers a question in its usual place only.
    """
    known = list(rows)
    for again in range(rounds):
        yield from (known[i] for i in stream(0, "round", purpose, again).permutation(len(known)))
