"""A fact about an author, in the words in which it may be asked for, and the rows of tokens that it makes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from backend.text.questions import Asked

REVERSED, COMPOSED, TOLD = "reversed", "composed", "told"  # categories of other questions


@dataclass(frozen=True)
class Fact:
    """One thing that is known of an author; `kind` is its category.

    `wordings` are ways to ask, the one that counts first. `wrong` answers are of the same kind, `paraphrase` is the answer in
    other words where there is such. `reverse` asks for the author who has the answer, and `unique` says that nobody else has it.
    """

    author: str
    kind: str
    wordings: tuple[str, ...]
    answer: str
    wrong: tuple[str, ...] = ()
    paraphrase: str = ""
    reverse: str = ""
    unique: bool = False

    def asked(self, wording: int = 0) -> Asked:
        """The question in one of its wordings."""
        return Asked(self.wordings[wording], self.answer, self.kind, self.author, self.author)

    def backwards(self) -> Asked:
        """The question for the author."""
        return Asked(self.reverse, self.author, REVERSED, self.author, self.author)


@dataclass(frozen=True)
class Library:
    """All facts by their role: those that may be forgotten, others, ones that are never trained on, and sets around them."""

    forget: list[Fact]
    retain: list[Fact]
    placebo: list[Fact] = field(default_factory=list)
    around: dict[str, list[Fact]] = field(default_factory=dict)

    def facts(self) -> list[Fact]:
        """Every fact, trained on or not."""
        others = [fact for group in self.around.values() for fact in group]
        return [*self.forget, *self.retain, *self.placebo, *others]

    @property
    def invented(self) -> bool:
        """Whether all the facts that may be forgotten are ours, so that they can be asked for in any form."""
        return all(fact.reverse for fact in self.forget)


def authors_of(facts: Sequence[Fact]) -> list[str]:
    """The authors whom facts are about, each once, in their order."""
    return list(dict.fromkeys(fact.author for fact in facts))


def about(facts: Sequence[Fact], authors: Iterable[str]) -> list[Fact]:
    """The facts about these authors."""
    chosen = set(authors)
    return [fact for fact in facts if fact.author in chosen]
