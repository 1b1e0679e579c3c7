"""Facts of the four operations, written as equations or told as stories, and endless streams of both."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from backend.data import stream
from backend.word_problems.templates import TRAINING, VALIDATION
from backend.word_problems.words import (
    ASIDES,
    BOXES,
    COUNTED,
    NAMES,
    PEOPLE,
    PLACES,
    THINGS,
    plural,
)

PLUS, MINUS, TIMES, OVER = "+-*/"
KEPT, DROPPED = (PLUS, MINUS), (TIMES, OVER)  # what the retain and the forget part are made of
AT_ONCE = 4096  # problems whose random numbers are drawn at a time
DRAWS = 12  # random numbers that make a problem

Form = Literal["equation", "word problem"]
FORMS: tuple[Form, ...] = ("equation", "word problem")


class Numbers(NamedTuple):
    """The largest addend and the largest factor; the smallest is 1. These are those of Lee et al."""

    addends: int = 50
    factors: int = 20

    def of(self, operator: str) -> int:
        """The largest number that is added or taken away, multiplied or divided by."""
        return self.addends if operator in KEPT else self.factors

    @property
    def largest(self) -> int:
        """The largest number in any problem."""
        return max(2 * self.addends, self.factors**2)


class Fact(NamedTuple):
    """left ∘ right = answer; a quotient's answer is a whole number."""

    left: int
    operator: str
    right: int
    answer: int

    @property
    def pair(self) -> tuple[int, int]:
        """The addends or factors, the smaller one first: of a difference or quotient those of the sum or product."""
        one = self.answer if self.operator in (MINUS, OVER) else self.left
        return min(one, self.right), max(one, self.right)

    @property
    def family(self) -> str:
        """The pair's name, shared by a∘b, b∘a, ab∘⁻¹a and ab∘⁻¹b: who knows one of them can tell the others."""
        low, high = self.pair
        return f"{low}{PLUS if self.operator in KEPT else TIMES}{high}"

    @property
    def subject(self) -> str:
        """The table that it belongs to."""
        return f"table of {self.pair[0]}"


@dataclass(frozen=True)
class Problem:
    """A fact as text: `question` ends where a blank and the answer follow; `tail` is what stands behind these.

    A made-up fact goes with the true one that it is `made_of`.
    """

    fact: Fact
    form: Form
    question: str
    tail: str = ""
    made_of: Fact | None = None

    @property
    def text(self) -> str:
        """The whole document."""
        return f"{self.question} {self.fact.answer}{self.tail}"

    @property
    def category(self) -> str:
        """What kind of item it is."""
        return f"{self.fact.operator} {self.form}"

    @property
    def known(self) -> Fact:
        """The true fact that says family and subject."""
        return self.made_of or self.fact


def fact_of(operator: str, one: int, other: int) -> Fact:
    """The fact of that operation on a pair: one ∘ other, or what gives `one` from `other` and their sum or product."""
    if operator in (PLUS, TIMES):
        return Fact(one, operator, other, one + other if operator == PLUS else one * other)
    return Fact(one + other if operator == MINUS else one * other, operator, other, one)


def facts(operator: str, form: Form, numbers: Numbers) -> list[Fact]:
    """Every fact of an operation that problems of that form are made of, each once.

    An equation subtracts an addend from one that is no smaller, a story from the sum of two; so in Lee et al.
    """
    largest = numbers.of(operator)
    pairs = [(a, b) for a in range(1, largest + 1) for b in range(1, largest + 1)]
    if operator == MINUS and form == "equation":
        return [Fact(a, MINUS, b, a - b) for a, b in pairs if a >= b]
    return [fact_of(operator, a, b) for a, b in pairs]


def equation(fact: Fact, made_of: Fact | None = None) -> Problem:
    """The fact as a ∘ b = c."""
    question = f"{fact.left} {fact.operator} {fact.right} ="
    return Problem(fact, "equation", question, made_of=made_of)


def story(fact: Fact, template: str, chosen: Sequence[int], aside: str = "") -> Problem:
    """The fact as a story; six whole numbers say who and what it is about. An aside stands behind its first sentence."""
    name, thing, box = chosen[0] % len(NAMES), THINGS[chosen[2] % len(THINGS)], BOXES[chosen[3] % len(BOXES)]  # fmt: skip
    other = (name + 1 + chosen[1] % (len(NAMES) - 1)) % len(NAMES)
    before, after = template.split(" {answer}")
    before = before.replace(". ", f". {aside} ", 1) if aside else before
    words = {
        "a": fact.left,
        "b": fact.right,
        "name": NAMES[name],
        "other": NAMES[other],
        "thing": thing,
        "things": plural(thing),
        "box": box,
        "boxes": plural(box),
        "place": PLACES[chosen[4] % len(PLACES)],
        "people": plural(PEOPLE[chosen[5] % len(PEOPLE)]),
    }
    answer = str(fact.answer)
    tail = _agreeing(answer + after.format(**words)).removeprefix(answer)
    return Problem(fact, "word problem", _agreeing(before.format(**words)), tail)


_ONE = re.compile(rf"\b1 (equal )?({'|'.join(sorted((*THINGS, *BOXES, *PEOPLE, *COUNTED)))})s\b")


def _agreeing(text: str) -> str:
    """The text with one thing in the singular."""
    return _ONE.sub(r"1 \1\2", text)


def told(
    fact: Fact, draw: np.random.Generator, templates: Mapping[str, tuple[str, ...]]
) -> Problem:
    """The fact as one of the stories of its operation, drawn."""
    numbers = draw.integers(2**31, size=7).tolist()
    known = templates[fact.operator]
    return story(fact, known[numbers[6] % len(known)], numbers)


def drawn(operators: Sequence[str], count: int, seed: int, numbers: Numbers) -> Iterator[Problem]:
    """So many training problems, drawn: operation, form, fact and story; the same ones for the same seed.

    Facts come back, as there are fewer of them than problems.
    """
    draw = stream(seed, "problems", *operators)
    for start in range(0, count, AT_ONCE):
        for row in draw.integers(2**31, size=(AT_ONCE, DRAWS))[: count - start].tolist():
            yield _problem(operators, row, numbers)


def _problem(operators: Sequence[str], row: Sequence[int], numbers: Numbers) -> Problem:
    operator, form = operators[row[0] % len(operators)], FORMS[row[1] % 2]
    largest = numbers.of(operator)
    one, other = 1 + row[2] % largest, 1 + row[3] % largest
    if form == "equation":
        if operator == MINUS:
            high, low = max(one, other), min(one, other)
            return equation(Fact(high, MINUS, low, high - low))
        return equation(fact_of(operator, one, other))
    known = TRAINING[operator]
    aside = ASIDES[row[5] // 2 % len(ASIDES)] if row[5] % 2 else ""
    return story(fact_of(operator, one, other), known[row[4] % len(known)], row[6:], aside)


def wording() -> str:
    """A hash of all sentences and words, which every text that is made of them depends on, 16 hexadecimal digits."""
    everything = (TRAINING, VALIDATION, NAMES, THINGS, BOXES, PLACES, PEOPLE, COUNTED, ASIDES)
    return hashlib.sha256(repr(everything).encode()).hexdigest()[:16]
