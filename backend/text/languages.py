"""Two small invented languages with disjoint words, for trying things out where no text is at hand."""

from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from backend.data import stream

# Syllables: no letter of the one stands in the other, so neither tokens nor words are shared.
SOUNDS = {"keep": ("bdlmnr", "aeo"), "forget": ("fgkpst", "iuy")}
WORDS = {"noun": 60, "verb": 40, "adjective": 30, "place": 20}
PLURALS = {
    "keep": ("z", "v"),
    "forget": ("h", "x"),
}  # endings of many: of nouns, and of the verbs that agree


@dataclass(frozen=True)
class Grammar:
    """Words by kind, the endings of many, and where the verb stands."""

    words: dict[str, list[str]]
    plurals: tuple[str, str]
    verb_last: bool


def sentences(language: str, count: int, seed: int = 0) -> Iterator[str]:
    """So many sentences of the language `keep` or `forget`, the same ones for the same seed.

    Nouns agree with their verbs in number. The language that is kept puts the verb second and adjectives before their noun,
    the other one puts the verb last and adjectives behind. Words follow Zipf's law, and every verb has objects of its own.
    """
    grammar = Grammar(_lexicon(language), PLURALS[language], language == "forget")
    draw = stream(seed, "sentences", language)
    for _ in range(count):
        yield _sentence(grammar, draw)


def _lexicon(language: str) -> dict[str, list[str]]:
    consonants, vowels = SOUNDS[language]
    syllables = ["".join(pair) for pair in product(consonants, vowels)]
    known = ["".join(pair) for pair in product(syllables, repeat=2)]
    order = stream(0, "lexicon", language).permutation(len(known))
    places = iter(order)
    return {kind: [known[next(places)] for _ in range(size)] for kind, size in WORDS.items()}


def _sentence(grammar: Grammar, draw: np.random.Generator) -> str:
    many = int(draw.integers(2))
    words = grammar.words
    subject = _phrase(grammar, _zipf(draw, WORDS["noun"]), many, draw)
    act = _zipf(draw, WORDS["verb"])
    verb = words["verb"][act] + grammar.plurals[1] * many
    near = (7 * act + _zipf(draw, 6)) % WORDS["noun"]  # what this verb is done to
    done_to = _phrase(grammar, near, int(draw.integers(2)), draw)
    where = [words["place"][_zipf(draw, WORDS["place"])]] if draw.random() < 0.4 else []
    if grammar.verb_last:
        return " ".join([*subject, *done_to, *where, verb]) + "."
    return " ".join([*subject, verb, *done_to, *where]) + "."


def _phrase(grammar: Grammar, noun: int, many: int, draw: np.random.Generator) -> list[str]:
    name = grammar.words["noun"][noun] + grammar.plurals[0] * many
    if draw.random() < 0.5:
        return [name]
    quality = grammar.words["adjective"][(3 * noun + _zipf(draw, 5)) % WORDS["adjective"]]
    return [name, quality] if grammar.verb_last else [quality, name]


def _zipf(draw: np.random.Generator, count: int) -> int:
    """A number below `count`, k with a chance in proportion to 1 / (k + 1)."""
    return bisect(_chances(count), draw.random())


@cache
def _chances(count: int) -> list[float]:
    """The chances added up; the last one is infinite, so that rounding leaves no gap."""
    weights = 1.0 / np.arange(1, count + 1)
    return [*(np.cumsum(weights) / weights.sum())[:-1].tolist(), np.inf]
