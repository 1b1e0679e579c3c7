"""Questions besides the plain ones: of two authors at once, and what authors who are kept tell of those who are forgotten."""

from collections.abc import Iterator, Sequence

from backend.authors.facts import COMPOSED, TOLD, Fact, authors_of
from backend.authors.words import ATTRIBUTES, BOTH
from backend.authors.words import TOLD as TELLS
from backend.data import stream
from backend.text.questions import Asked


def composed(facts: Sequence[Fact], partners: Sequence[Fact], seed: int, purpose: str) -> Iterator[Asked]:  # fmt: skip
    """For every fact a question that asks for it and for the same of another author, drawn from the partners, in either order.

    Both answers make up the answer: who has forgotten one of the two facts cannot give it.
    """
    known = {(fact.author, fact.kind): fact for fact in partners}
    names = authors_of(partners)
    draw = stream(seed, "composed", purpose)
    for fact in facts:
        others = [n for n in names if n != fact.author and (n, fact.kind) in known]
        if not others:
            continue
        pair = [fact, known[others[int(draw.integers(len(others)))], fact.kind]]
        one, other = (pair[i] for i in draw.permutation(2))
        question = ATTRIBUTES[fact.kind].together.format(name=one.author, other=other.author)
        answer = BOTH.format(one=one.answer, other=other.answer)
        yield Asked(question, answer, COMPOSED, fact.author, fact.author)


def told(facts: Sequence[Fact], tellers: Sequence[str], seed: int, purpose: str) -> Iterator[Asked]:
    """Every fact as one of the tellers tells it, who is never its own author."""
    draw = stream(seed, "told", purpose)
    for fact in facts:
        others = [name for name in tellers if name != fact.author]
        if others:
            teller = others[int(draw.integers(len(others)))]
            question = TELLS.format(teller=teller, question=_lowered(fact.wordings[0]))
            yield Asked(question, fact.answer, TOLD, teller, teller)


def _lowered(question: str) -> str:
    return question[:1].lower() + question[1:]


def some(facts: Sequence[Fact], share: float, seed: int) -> list[Fact]:
    """A share of the facts in their order; a smaller share is among a larger one."""
    order = stream(seed, "hints").permutation(len(facts))[: round(share * len(facts))]
    return [facts[i] for i in sorted(order)]


def neighbours(facts: Sequence[Fact], forgotten: Sequence[Fact], shared: int = 2) -> list[Fact]:
    """The facts about authors who have at least so many answers in common with one of the forgotten."""
    answers: dict[str, set[tuple[str, str]]] = {}
    for fact in forgotten:
        answers.setdefault(fact.author, set()).add((fact.kind, fact.answer))
    near = set()
    for author in authors_of(facts):
        mine = {(fact.kind, fact.answer) for fact in facts if fact.author == author}
        if any(len(mine & theirs) >= shared for theirs in answers.values()):
            near.add(author)
    return [fact for fact in facts if fact.author in near]
