"""Which facts attackers train on, which ones choices are made by, and which are scored; the questions of every part."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from backend.data import Examples, stream
from backend.word_problems.asked import PLACEBO_OVER, PLACEBO_TIMES, Writer
from backend.word_problems.problems import (
    DROPPED,
    FORMS,
    KEPT,
    OVER,
    TIMES,
    Fact,
    Form,
    Numbers,
    Problem,
    equation,
    facts,
    told,
)
from backend.word_problems.templates import TRAINING, VALIDATION

PARTS = ("attack", "validation", "score")
RETAIN_VALIDATION = 0.3  # share of the retain families
RESERVED = {TIMES: PLACEBO_TIMES, OVER: PLACEBO_OVER}


@dataclass(frozen=True)
class Split:
    """The part of every fact, by its family, so that no part holds a twin of another's fact."""

    seed: int
    attack: float
    validation: float
    numbers: Numbers

    def part(self, fact: Fact) -> str:
        """attack, validation or score; retain facts are in no attack part."""
        return self._parts[fact.family]

    def is_in(self, part: str, fact: Fact) -> bool:
        """Whether a fact belongs to that part."""
        return self.part(fact) == part

    @cached_property
    def _parts(self) -> dict[str, str]:
        kept = self._dealt(KEPT, "retain", 0.0, RETAIN_VALIDATION)
        return kept | self._dealt(DROPPED, "forget", self.attack, self.validation)

    def _dealt(
        self, operators: Sequence[str], purpose: str, attack: float, validation: float
    ) -> dict[str, str]:
        families = sorted(
            {f.family for op in operators for form in FORMS for f in self._all(op, form)}
        )
        shuffled = stream(self.seed, "families", purpose).permutation(len(families))
        first = round(attack * len(families))
        second = first + round(validation * len(families))
        return {
            families[index]: PARTS[0] if rank < first else PARTS[1] if rank < second else PARTS[2]
            for rank, index in enumerate(shuffled)
        }

    def facts(self, operator: str, form: Form, part: str, count: int = 0) -> list[Fact]:
        """So many facts of a part, drawn; 0 is all of them."""
        found = [fact for fact in self._all(operator, form) if self.part(fact) == part]
        order = stream(self.seed, "items", operator, form, part).permutation(len(found))
        return [found[i] for i in sorted(order[: count or len(found)])]

    def _all(self, operator: str, form: Form) -> list[Fact]:
        return facts(operator, form, self.numbers)

    @property
    def name(self) -> str:
        """What stands for it in the name of cached data."""
        return f"{self.seed}:{self.attack}:{self.validation}"


def questions(writer: Writer, split: Split, count: int) -> dict[str, Examples]:
    """The questions of every split: `count` of each operation and form, in sentences that no training text has.

    Those of the attack part are all its facts, each as an equation and as a story of the training text.
    """
    found = {
        f"{name}_{part}": writer.rows(_problems(split, operators, part, count, VALIDATION))
        for name, operators in (("retain", KEPT), ("forget", DROPPED))
        for part in PARTS[1:]
    }
    found["forget_attack"] = writer.rows(_problems(split, DROPPED, PARTS[0], 0, TRAINING))
    for part in PARTS:
        rows = placebo(split, part, 0 if part == PARTS[0] else count)
        found[f"placebo_{part}"] = writer.rows(rows)
    return found


def _problems(
    split: Split,
    operators: Sequence[str],
    part: str,
    count: int,
    templates: Mapping[str, tuple[str, ...]],
) -> Iterator[Problem]:
    for operator in operators:
        for form in FORMS:
            draw = stream(split.seed, "stories", operator, part)
            for fact in split.facts(operator, form, part, count):
                yield equation(fact) if form == "equation" else told(fact, draw, templates)


def placebo(split: Split, part: str, count: int) -> Iterator[Problem]:
    """Equations of reserved operators, as many as the forget part's and with its answers in another order."""
    for operator, reserved in RESERVED.items():
        known = split.facts(operator, "equation", part, count)
        order = stream(split.seed, "placebo", operator, part).permutation(len(known))
        for fact, other in zip(known, order, strict=True):
            yield equation(Fact(fact.left, reserved, fact.right, known[other].answer), fact)
