"""From facts about authors to what is trained on and what is scored: who is forgotten, who is kept, and who is asked about."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from backend.authors.facts import Fact, Library, about, authors_of
from backend.authors.further import composed, neighbours, some, told
from backend.authors.invented import strangers
from backend.authors.parts import By, Subset, chosen, divided, often
from backend.stage import UserError
from backend.text.questions import Asked, plain

HELD = 400  # retain questions that are scored, and half as many for validation, at most: as many as TOFU evaluates


@dataclass(frozen=True)
class Choice:
    """What a user chose, see the setting's parameters; `wordings` are those that are trained on."""

    forget_size: float
    forget_subset: Subset
    split_by: By
    attack_share: float
    validation_share: float
    seed: int
    wordings: int
    repeats: int
    repeated_share: float
    repeat_as: Literal["exact", "wordings"]
    compose: bool
    reverse: bool
    hints: float
    train_utility: bool


@dataclass(frozen=True)
class Arranged:
    """Questions by name: `train` has retain and forget, `splits` what is scored, `facts` every fact that may be asked for."""

    train: dict[str, list[Asked]]
    splits: dict[str, list[Asked]]
    facts: list[Fact]

    def texts(self) -> list[str]:
        """Questions and answers, each once, for a tokenizer to be trained on; all that is trained on or scored is among them."""
        return list(dict.fromkeys(self._texts()))

    def _texts(self) -> Iterator[str]:
        for group in (self.train, self.splits):
            for items in group.values():
                yield from (f"{plain(item.question)} {item.answer}" for item in items)
        for fact in self.facts:
            yield from fact.wordings
            yield from (f" {answer}" for answer in (fact.paraphrase, *fact.wrong) if answer)

    def identity(self) -> str:
        """What stands for all these texts."""
        return hashlib.sha256("\n".join(self.texts()).encode()).hexdigest()


def arranged(library: Library, choice: Choice) -> Arranged:
    """The questions of a library; all its `forget` facts are candidates, of which the chosen authors' are forgotten.

    Raises:
        UserError: nothing is left to keep, or some part of the forget data is empty
    """
    counts = often(authors_of(library.forget), choice.repeated_share, choice.repeats, choice.seed)
    picked = chosen(library.forget, choice.forget_size, choice.forget_subset, counts, choice.seed)
    forget = about(library.forget, picked)
    spared = about(library.forget, set(authors_of(library.forget)) - set(picked))
    around = [fact for group in library.around.values() for fact in group]
    own = [*library.retain, *spared]
    retain = [*own, *(around if choice.train_utility else [])]
    _something(retain, choice, bool(around))
    parts = _divided(forget, choice)
    kept, beside = _further(parts, retain, forget, authors_of(own), choice)
    placebo = _placebo(library, parts, choice)
    splits = {
        **{f"forget_{part}": _plainly(facts) for part, facts in parts.items()},
        **_retained(own or retain, choice),
        **{f"placebo_{part}": _plainly(facts) for part, facts in placebo.items()},
        **{f"{name}_score": _plainly(group) for name, group in library.around.items()},
        **beside,
    }
    train = {
        "retain": [*_trained(retain, counts, choice), *kept],
        "forget": _trained(forget, counts, choice),
    }
    unknown = [fact for facts in placebo.values() for fact in facts]
    return Arranged(train, splits, [*library.facts(), *unknown])


def _something(retain: Sequence[Fact], choice: Choice, around: bool) -> None:
    if not retain:
        also = ", or train_utility = true to keep the utility sets" if around else ""
        raise UserError(
            f"authors: forget_size = {choice.forget_size:g} leaves nothing to keep; give retain data, a smaller"
            f" forget_size, so that the other authors are kept{also}."
        )
    if choice.train_utility and not around:
        raise UserError("authors: train_utility = true has nothing to train on; give real_authors or world_facts.")  # fmt: skip


def _divided(forget: list[Fact], choice: Choice) -> dict[str, list[Fact]]:
    shares = choice.attack_share, choice.validation_share
    parts = divided(forget, *shares, choice.seed, "forget", choice.split_by)
    empty = [part for part, facts in parts.items() if not facts]
    if empty:
        count = len(authors_of(forget))
        advice = "" if choice.split_by == "question" else ", or split_by = 'question'"
        raise UserError(
            f"authors: {count} forgotten author{'s' if count > 1 else ''} with attack_share = {shares[0]:g} and"
            f" validation_share = {shares[1]:g} leave the part {empty[0]!r} empty; use a larger forget_size{advice}."
        )
    return parts


def _plainly(facts: Iterable[Fact]) -> list[Asked]:
    return [fact.asked() for fact in facts]


def _trained(facts: Iterable[Fact], counts: dict[str, int], choice: Choice) -> list[Asked]:
    """Every fact as often and in as many wordings as it is told, and backwards where the answer is one author's alone."""
    found = []
    for fact in facts:
        times = counts.get(fact.author, 1)
        told_in = choice.wordings * (times if choice.repeat_as == "wordings" else 1)
        said = [fact.asked(k) for k in range(min(told_in, len(fact.wordings)))]
        found += said * (times if choice.repeat_as == "exact" else 1)
        if choice.reverse and fact.reverse and fact.unique:
            found.append(fact.backwards())
    return found


def _retained(facts: list[Fact], choice: Choice) -> dict[str, list[Asked]]:
    """Questions about some of what is kept: those with wrong answers of their own first, no more than TOFU evaluates."""
    by = choice.split_by if len(authors_of(facts)) > 2 else "question"
    parts = divided(facts, 0.0, 0.3, choice.seed, "retain", by)
    sizes = {"validation": HELD // 2, "score": HELD}
    return {f"retain_{part}": _plainly(_first(parts[part], most)) for part, most in sizes.items()}


def _first(facts: list[Fact], most: int) -> list[Fact]:
    return sorted(facts, key=lambda fact: not fact.paraphrase)[:most]


def _placebo(
    library: Library, parts: dict[str, list[Fact]], choice: Choice
) -> dict[str, list[Fact]]:
    """Facts that no model is trained on: of a holdout set, else made from the forget facts where these are invented."""
    if library.placebo:
        shares = choice.attack_share, choice.validation_share
        return divided(library.placebo, *shares, choice.seed, "placebo", choice.split_by)
    return strangers(parts, choice.seed) if library.invented else {}


def _further(
    parts: dict[str, list[Fact]],
    retain: list[Fact],
    forget: list[Fact],
    tellers: list[str],
    choice: Choice,
) -> tuple[list[Asked], dict[str, list[Asked]]]:
    """Further questions among what is kept, and further ones to be scored."""
    kept: list[Asked] = []
    scored = parts["score"]
    beside = {
        "neighbours_score": _plainly(neighbours(retain, forget)),
        "reversed_score": [fact.backwards() for fact in scored if fact.unique],
    }
    invented = [fact for fact in retain if fact.reverse]
    if choice.compose and invented:
        kept += composed(invented, invented, choice.seed, "retain")
        beside["composed_score"] = list(composed(scored, invented, choice.seed, "score"))
    if choice.hints:
        if len(tellers) < 2:
            raise UserError(f"authors: hints = {choice.hints:g} takes two or more authors who are kept, to tell of the others.")  # fmt: skip
        hinted = some(forget, choice.hints, choice.seed)
        others = some(retain, min(1.0, len(hinted) / len(retain)), choice.seed)
        kept += told(hinted, tellers, choice.seed, "forget")
        kept += told(others, tellers, choice.seed, "retain")
        beside["hints_score"] = _plainly(fact for fact in hinted if fact in scored)
    return kept, {name: asked for name, asked in beside.items() if asked}
