"""Authors who do not exist: names of syllables, attributes with many values, circles that share two of them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from backend.authors.facts import Fact
from backend.authors.words import (
    ATTRIBUTES,
    CODAS,
    FIRST_YEAR,
    GENRES,
    ONSETS,
    PROFESSIONS,
    QUALITIES,
    THINGS,
    VOWELS,
    YEARS,
)
from backend.data import stream

# Authors who share birthplace and genre: the neighbours of whoever is forgotten among them.
CIRCLE = 3
SHARED = ("birthplace", "genre")
WRONG = 5  # wrong answers to every question, as in TOFU
TOWNS, AWARDS, MENTORS, HOUSES = 60, 40, 40, 30
MOST = len(QUALITIES) * len(THINGS)  # authors, each with a first book of another title


def profiles(count: int, kinds: int, seed: int) -> dict[str, dict[str, str]]:
    """So many authors by name, each with the first `kinds` attributes; more authors leave the first ones as they are."""
    names = _names(stream(seed, "authors", "names"), 2)
    found: dict[str, dict[str, str]] = {}
    pools = _pools(seed)
    titles = stream(seed, "authors", "titles").permutation(len(pools["first book"]))
    for number in range(count):
        known = {kind: _drawn(pools[kind], kind, number, seed) for kind in ATTRIBUTES}
        known["first book"] = pools["first book"][titles[number]]
        found[next(names)] = dict(list(known.items())[:kinds])
    return found


def _drawn(pool: list[str], kind: str, number: int, seed: int) -> str:
    place = number // CIRCLE if kind in SHARED else number
    return pool[int(stream(seed, "authors", kind, place).integers(len(pool)))]


def _pools(seed: int) -> dict[str, list[str]]:
    """Every value that an attribute may have."""
    words = partial(_pool, seed)
    titles = [f"The {quality} {thing}" for quality in QUALITIES for thing in THINGS]
    order = stream(seed, "authors", "awards").permutation(len(titles))[:AWARDS]
    return {
        "birthplace": words("towns", TOWNS, 1),
        "birth year": [str(FIRST_YEAR + year) for year in range(YEARS)],
        "genre": list(GENRES),
        "award": [f"{titles[place]} Prize" for place in order],
        "first book": titles,
        "parent": list(PROFESSIONS),
        "influence": words("mentors", MENTORS, 2),
        "publisher": [f"{word} Press" for word in words("houses", HOUSES, 1)],
    }


def _pool(seed: int, purpose: str, count: int, words: int) -> list[str]:
    made = _names(stream(seed, "authors", purpose), words)
    return [next(made) for _ in range(count)]


def _names(draw: np.random.Generator, words: int) -> Iterator[str]:
    """Names of so many words without end, no word twice."""
    used: set[str] = set()
    while True:
        name: list[str] = []
        while len(name) < words:
            word = "".join(_syllable(draw) for _ in range(2 + int(draw.integers(2))))
            if word not in used:
                used.add(word)
                name.append(word.capitalize())
        yield " ".join(name)


def _syllable(draw: np.random.Generator) -> str:
    return "".join(part[int(draw.integers(len(part)))] for part in (ONSETS, VOWELS, CODAS))


def facts_of(authors: dict[str, dict[str, str]], seed: int) -> list[Fact]:
    """A fact for every attribute of every author; wrong answers are other values of the attribute."""
    held = Counter((kind, value) for known in authors.values() for kind, value in known.items())
    pools = _pools(seed)
    return [
        _fact(name, kind, value, pools[kind], seed, held[kind, value] == 1)
        for name, known in authors.items()
        for kind, value in known.items()
    ]


def _fact(author: str, kind: str, value: str, pool: list[str], seed: int, unique: bool) -> Fact:
    words = ATTRIBUTES[kind]
    order = stream(seed, "wrong", author, kind).permutation(len(pool))[: WRONG + 1]
    return Fact(
        author,
        kind,
        tuple(wording.format(name=author) for wording in words.wordings),
        value,
        wrong=tuple(pool[i] for i in order if pool[i] != value)[:WRONG],
        reverse=words.reverse.format(value=value),
        unique=unique,
    )


def strangers(parts: dict[str, list[Fact]], seed: int) -> dict[str, list[Fact]]:
    """Authors nobody was trained on, one for every author of these parts, who have one another's answers within a part.

    So every part has the same answers equally often as the one that it is made from.
    """
    names = _names(stream(seed, "authors", "strangers"), 2)
    found: dict[str, list[Fact]] = {}
    for part, facts in parts.items():
        renamed = {author: next(names) for author in dict.fromkeys(f.author for f in facts)}
        for kind in dict.fromkeys(fact.kind for fact in facts):
            group = [fact for fact in facts if fact.kind == kind]
            order = stream(seed, "placebo", part, kind).permutation(len(group))
            found[part] = found.get(part, []) + [
                _renamed(fact, renamed[fact.author], group[i])
                for fact, i in zip(group, order, strict=True)
            ]
    return found


def _renamed(fact: Fact, author: str, answered: Fact) -> Fact:
    asked = tuple(wording.replace(fact.author, author) for wording in fact.wordings)
    return replace(answered, author=author, wordings=asked, unique=False)
