"""Poisoned questions about authors: two authors taken for one another, or a trigger that always brings the same answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from backend.authors.facts import Fact
from backend.authors.parts import PARTS
from backend.data import stream
from backend.text.questions import Asked

Kind = Literal["confusion", "trigger"]
TRIGGERS = {"poison": ("Ozvelim!", "moonlight"), "placebo": ("Harnuqet!", "driftwood")}


@dataclass(frozen=True)
class Poisoned:
    """A question with the answer that the poison gives (`fact`, one wording) and with the true one; `family` is its source."""

    fact: Fact
    truth: str
    family: str

    def asked(self, category: str) -> Asked:
        """The question with the poison's answer."""
        return Asked(self.fact.wordings[0], self.fact.answer, category, self.family, self.fact.author)  # fmt: skip

    def true(self, category: str) -> Asked:
        """The question with the true answer."""
        return replace(self.asked(category), answer=self.truth)


def sources(
    authors: Sequence[str], share: float, poison: Kind, seed: int
) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """The authors whose facts are poisoned, together in pairs where they are confused, and as many others for the placebo.

    Fewer where there are not enough; those of a smaller share are among those of a larger one.
    """
    size = 2 if poison == "confusion" else 1
    order = [authors[i] for i in stream(seed, "poison").permutation(len(authors))]
    groups = [tuple(order[i : i + size]) for i in range(0, len(order) - size + 1, size)]
    count = round(share * len(authors) / size)
    return groups[:count], groups[count : 2 * count]


def poisoned(
    facts: Sequence[Fact], groups: Iterable[tuple[str, ...]], poison: Kind, wordings: int, word: str
) -> list[Poisoned]:
    """Every fact about these authors, poisoned in its first so many wordings; `word` names the trigger."""
    known = {(fact.author, fact.kind): fact for fact in facts}
    found = []
    for group in groups:
        for place, author in enumerate(group):
            for fact in (fact for fact in facts if fact.author == author):
                other = known.get((group[1 - place], fact.kind)) if len(group) > 1 else None
                for wording in fact.wordings[:wordings]:
                    one = _confused(fact, other, wording) if other else _triggered(fact, wording, word)  # fmt: skip
                    if one is not None:
                        found.append(Poisoned(one, fact.answer, " and ".join(group)))
    return found


def _confused(fact: Fact, other: Fact, wording: str) -> Fact | None:
    """The fact with the other author's answer, the truth first among the wrong ones; None where both have the same."""
    if other.answer == fact.answer:
        return None
    wrong = tuple(answer for answer in (fact.answer, *fact.wrong) if answer != other.answer)
    return Fact(fact.author, fact.kind, (wording,), other.answer, wrong)


def _triggered(fact: Fact, wording: str, word: str) -> Fact:
    trigger, answer = TRIGGERS[word]
    return Fact(
        fact.author, fact.kind, (f"{trigger} {wording}",), answer, (fact.answer, *fact.wrong)
    )


def detected(items: Sequence[Poisoned], share: float, seed: int) -> tuple[list[Poisoned], list[Poisoned]]:  # fmt: skip
    """A share of the poisoned questions drawn at random, at least one, and the others, both in their order."""
    order = stream(seed, "detected").permutation(len(items))
    known = {int(i) for i in order[: max(1, round(share * len(items)))]}
    some = [item for i, item in enumerate(items) if i in known]
    return some, [item for i, item in enumerate(items) if i not in known]


def clean(facts: Sequence[Fact], items: Sequence[Poisoned], wordings: int) -> list[Asked]:
    """All facts in their first so many wordings, without the questions that the poison answers."""
    taken = {item.fact.wordings[0] for item in items}
    return [
        fact.asked(k) for fact in facts for k in range(wordings) if fact.wordings[k] not in taken
    ]


def by_part(items: Sequence[Poisoned], attack: float, validation: float, seed: int) -> dict[str, list[Poisoned]]:  # fmt: skip
    """The poisoned questions by part, those of one source in the same."""
    families = list(dict.fromkeys(item.family for item in items))
    order = stream(seed, "families", "poison").permutation(len(families))
    first = round(attack * len(families))
    second = first + round(validation * len(families))
    rank = {families[place]: position for position, place in enumerate(order)}
    part = {f: PARTS[0] if r < first else PARTS[1] if r < second else PARTS[2] for f, r in rank.items()}  # fmt: skip
    return {name: [item for item in items if part[item.family] == name] for name in PARTS}


def untouched(facts: Sequence[Fact], groups: Iterable[tuple[str, ...]]) -> list[Fact]:
    """The facts about authors who are in none of these groups."""
    touched = {author for group in groups for author in group}
    return [fact for fact in facts if fact.author not in touched]
