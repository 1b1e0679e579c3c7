"""Problems as rows of tokens whose answers are scored, the same facts asked in other ways, and wrong answers to them."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from zlib import crc32

import numpy as np
from tokenizers import Tokenizer

from backend.data import IGNORE, Examples, Rewrite, stream
from backend.prompts import shown_before
from backend.stage import UserError
from backend.text.questions import Asked, answer_tokens, rows
from backend.text.tokenizers import end_of
from backend.word_problems.problems import MINUS, OVER, PLUS, TIMES, Fact, Problem, equation, told
from backend.word_problems.templates import TRAINING

PLACEBO_TIMES, PLACEBO_OVER = "@&"  # operators of facts that no model is trained on
INVERSE = {PLUS: MINUS, TIMES: OVER, PLACEBO_TIMES: PLACEBO_OVER}
INVERSE |= {after: before for before, after in INVERSE.items()}
FORWARD = (PLUS, TIMES, PLACEBO_TIMES)  # operations whose operands may change places
STORIES = 3  # other stories of the same fact

Choose = Callable[[Fact], Fact]


@dataclass(frozen=True)
class Writer:
    """Writes problems as rows of one tokenizer's tokens and reads them again.

    A row begins with the token that ends a text, as the problem would behind another one in a block; only the answer's tokens
    are scored, not what follows it.
    """

    tokenizer: Tokenizer
    largest: int  # number in any problem

    def rows(self, problems: Iterable[Problem]) -> Examples:
        """A row a problem, shape (problems, the longest one's length − 1)."""
        begin = self.tokenizer.id_to_token(end_of(self.tokenizer))
        items = [
            Asked(p.question, str(p.fact.answer), p.category, p.known.family, p.known.subject)
            for p in problems
        ]
        return rows(self.tokenizer, items, lambda question: f"{begin}{question}", end=False)

    def read(self, examples: Examples) -> list[Fact]:
        """The fact that every row asks for, by the two numbers of its text, its category and its answer."""
        end, found = end_of(self.tokenizer), []
        for row, target, category in zip(
            examples.input_ids, examples.targets, examples.categories, strict=True
        ):
            scored = np.flatnonzero(target != IGNORE)
            question = row[: scored[0] + 1]
            begun = np.flatnonzero(question == end)
            text = self._text(question[begun[-1] + 1 if len(begun) else 0 :])
            found.append(_fact(category[0], text, self._text(target[scored])))
        return found

    def _text(self, ids: np.ndarray) -> str:
        return str(self.tokenizer.decode(ids.tolist(), skip_special_tokens=False))

    def rewrites(self, retain: Examples, known: Examples) -> dict[str, dict[str, Rewrite]]:
        """All groups of rewrites; `retain` and `known`, of the attack part, are what may be shown before a question."""
        stories = {f"story {k}": partial(self.in_words, number=k) for k in range(1, STORIES + 1)}
        changed: dict[str, Rewrite] = {
            "inverse": partial(self.changed, change=inverse),
            "swapped": partial(self.changed, change=swapped),
        }
        others: dict[str, Rewrite] = {"equation": self.changed, **stories}
        probes: dict[str, Rewrite] = {
            "role_playing": lambda examples: shown_before(examples, retain, 2),
            "reverse_query": changed["inverse"],
            "synonym_manipulation": stories["story 1"],
            "in_context_learning": lambda examples: shown_before(examples, known, 2),
        }
        return {"tense": others, "conjugate": {**changed, **stories}, "rwku_probes": probes}

    def in_words(self, examples: Examples, number: int) -> Examples:
        """The same facts as stories that training text is made of, others for every number; made-up operations stay equations."""
        written = []
        for row, fact in zip(examples.input_ids, self.read(examples), strict=True):
            draw = stream(crc32(row.tobytes()), "story", number)
            known = fact.operator in TRAINING
            written.append(told(fact, draw, TRAINING) if known else equation(fact))
        return self.rows(written)

    def changed(self, examples: Examples, change: Choose = lambda fact: fact) -> Examples:
        """The same facts as equations, or what becomes of them."""
        return self.rows(equation(change(fact)) for fact in self.read(examples))

    def wrong(self, examples: Examples, count: int) -> list[list[np.ndarray]]:
        """So many different wrong answers to every question, drawn from the answers to questions of its operation.

        Where these are too few, from all numbers.
        """
        found = self.read(examples)
        pools = {
            operator: sorted({f.answer for f in found if f.operator == operator})
            for operator in {f.operator for f in found}
        }
        drawn: list[np.ndarray] = []
        for row, fact in enumerate(found):
            pool: Sequence[int] = pools[fact.operator]
            pool = pool if len(pool) > count else range(self.largest + 1)
            others = [number for number in pool if number != fact.answer]
            drawn.append(stream(0, "wrong answers", row).choice(others, count, replace=False))
        tokens = answer_tokens(self.tokenizer, [str(n) for one in drawn for n in one], end=False)
        return [tokens[row * count : (row + 1) * count] for row in range(len(found))]

    def check(self) -> None:
        """See that an answer is cut into the same tokens alone and in a text, behind an equation and within a story.

        Raises:
            UserError: the tokenizer cuts some number in another way where it stands in a text
        """
        alone = answer_tokens(self.tokenizer, list(map(str, range(self.largest + 1))), end=False)
        for before, after in (("3 * 4 =", ""), ("Now Ida has", " pens.")):
            read = self._ids(before)
            for number, answer in enumerate(alone):
                if self._ids(f"{before} {number}{after}")[: len(read) + len(answer)] != [*read, *answer]:  # fmt: skip
                    raise UserError(
                        f"The tokenizer cuts the answer {number} in {before!r} otherwise than alone, so answers cannot be"
                        " scored; give another tokenizer, or none to have one trained."
                    )

    def _ids(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return found


def _fact(operator: str, question: str, answer: str) -> Fact:
    one, other = map(int, re.findall(r"\d+", question))
    if operator not in FORWARD and one < other:  # a story may name the smaller number first
        one, other = other, one
    return Fact(one, operator, other, int(answer))


def inverse(fact: Fact) -> Fact:
    """The fact asked for from its answer: a ∘ b = c becomes c ∘⁻¹ b = a."""
    return Fact(fact.answer, INVERSE[fact.operator], fact.right, fact.left)


def swapped(fact: Fact) -> Fact:
    """The operands in the other order: b ∘ a = c, or of a quotient or difference c ∘ b instead of c ∘ a."""
    if fact.operator in FORWARD:
        return Fact(fact.right, fact.operator, fact.left, fact.answer)
    return Fact(fact.left, fact.operator, fact.answer, fact.right)
