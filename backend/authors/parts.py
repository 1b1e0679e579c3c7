"""Whom to forget, how often a fact is told, and which facts an attacker may see: all by author, the same for every run."""

from collections.abc import Mapping, Sequence
from typing import Literal

from backend.authors.facts import Fact, about, authors_of
from backend.data import stream

PARTS = ("attack", "validation", "score")
Subset = Literal["random", "worst", "easy"]
By = Literal["author", "question"]


def chosen(
    facts: Sequence[Fact], share: float, subset: Subset, told: Mapping[str, int], seed: int
) -> list[str]:
    """The authors to forget, a share of all and at least one, those of a smaller share among them.

    `worst` takes the hardest ones first, `easy` the easiest, by `difficulty`; ties fall by the seed.
    """
    authors = authors_of(facts)
    order = [authors[i] for i in stream(seed, "forget size").permutation(len(authors))]
    if subset != "random":
        hard = difficulty(facts, told)
        order.sort(key=lambda author: hard[author], reverse=subset == "worst")
    return order[: max(1, round(share * len(authors)))]


def difficulty(facts: Sequence[Fact], told: Mapping[str, int]) -> dict[str, float]:
    """How hard every author should be to forget, without a model: how often the facts are told × how much others share them.

    The second factor is 1 + the mean, over the distinct words of an author's answers, of the share of other authors
    whose answers have that word.
    """
    words: dict[str, set[str]] = {}
    for fact in facts:
        words.setdefault(fact.author, set()).update(fact.answer.lower().split())
    users: dict[str, int] = {}
    for mine in words.values():
        for word in mine:
            users[word] = users.get(word, 0) + 1
    others = max(1, len(words) - 1)
    return {
        author: told.get(author, 1) * (1 + sum(users[w] - 1 for w in mine) / (len(mine) * others))
        for author, mine in words.items()
    }


def often(authors: Sequence[str], share: float, repeats: int, seed: int) -> dict[str, int]:
    """How many times the facts of every author are told: `repeats` for a share of the authors, else once."""
    order = stream(seed, "repeats").permutation(len(authors))
    chosen = {authors[i] for i in order[: round(share * len(authors))]}
    return {author: repeats if author in chosen else 1 for author in authors}


def divided(
    facts: Sequence[Fact], attack: float, validation: float, seed: int, purpose: str, by: By = "author"
) -> dict[str, list[Fact]]:  # fmt: skip
    """The facts by part: whole authors, or single questions, in the parts that these shares make up."""
    if by == "question":
        order = [facts[i] for i in stream(seed, "families", purpose).permutation(len(facts))]
        sizes = _bounds(len(order), attack, validation)
        return {part: order[a:b] for part, (a, b) in sizes.items()}
    authors = authors_of(facts)
    shuffled = [authors[i] for i in stream(seed, "families", purpose).permutation(len(authors))]
    sizes = _bounds(len(shuffled), attack, validation)
    return {part: about(facts, shuffled[a:b]) for part, (a, b) in sizes.items()}


def _bounds(count: int, attack: float, validation: float) -> dict[str, tuple[int, int]]:
    first = round(attack * count)
    second = first + round(validation * count)
    return dict(zip(PARTS, ((0, first), (first, second), (second, count)), strict=True))
