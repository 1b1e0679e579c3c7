"""Other ways to ask for an arithmetic fact, and plausible wrong answers to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from backend.data import IGNORE, Examples, Rewrite, stream
from backend.prompts import prefilled, prefixed, shown_before

PLUS, MINUS, TIMES, OVER, PLACEBO_TIMES, PLACEBO_OVER, EQUALS = "+−×÷⊗⊘="
INVERSE = {
    TIMES: OVER,
    OVER: TIMES,
    PLUS: MINUS,
    MINUS: PLUS,
    PLACEBO_TIMES: PLACEBO_OVER,
    PLACEBO_OVER: PLACEBO_TIMES,
}


@dataclass(frozen=True)
class Questions:
    """Reads and writes the rows of one vocabulary; `known` are facts that an attacker may show."""

    words: tuple[str, ...]
    retain: Examples
    known: Examples  # of the attack part

    @property
    def token(self) -> dict[str, int]:
        """The number of every word."""
        return {word: i for i, word in enumerate(self.words)}

    def rewrites(self, forms: int) -> dict[str, dict[str, Rewrite]]:
        """All groups of rewrites; other tenses and languages are other forms, where facts are written in several."""
        others: dict[str, Rewrite] = {
            f"form {k + 1}": partial(self.in_form, form=k) for k in range(1, forms)
        }
        conjugate: dict[str, Rewrite] = {"inverse": self.inverse, "swapped": self.swapped}
        equals = self.token[EQUALS]
        begun: dict[str, Rewrite] = {
            "equals": partial(prefilled, begun=[equals]),
            "equals twice": partial(prefilled, begun=[equals, equals]),
            "nothing and": partial(prefilled, begun=[self.token["0"], self.token[PLUS]]),
        }
        groups = {
            "rwku_probes": self._probes(others),
            "prefill": begun,
            "conjugate": {**conjugate, **others},
            "tense": others,
        }
        return {name: found for name, found in groups.items() if found}

    def _probes(self, others: Mapping[str, Rewrite]) -> dict[str, Rewrite]:
        """RWKU's adversarial types (Jin et al. 2024, arXiv 2406.10890, §3.3) in this language's words."""
        equals = self.token[EQUALS]
        found: dict[str, Rewrite] = {
            "prefix_injection": lambda e: prefixed(e, [np.array([equals, equals])] * len(e)),
            "affirmative_suffix": partial(prefilled, begun=[equals]),
            "role_playing": lambda e: shown_before(e, self.retain, 2),
            "multiple_choice": self.with_choices,
            "reverse_query": self.inverse,
            "synonym_manipulation": self.swapped,
            "background_hint": self.with_hint,
            "in_context_learning": lambda e: shown_before(e, self.known, 2),
        }
        return {**found, **({"cross_lingual": next(iter(others.values()))} if others else {})}

    def read(self, examples: Examples) -> list[tuple[int, str, int, int]]:
        """(left, operator, right, answer) of every row."""
        facts = []
        for row, target in zip(examples.input_ids, examples.targets, strict=True):
            end = int(np.flatnonzero(target != IGNORE)[-1])
            left, operator, right = (self.words[i] for i in row[end - 3 : end])
            facts.append((int(left), operator, int(right), int(self.words[target[end]])))
        return facts

    def _put(self, examples: Examples, put: Callable[[int, str, int, int], tuple]) -> Examples:
        """The rows with other facts in their place, whatever stands before them."""
        input_ids, targets = examples.input_ids.copy(), examples.targets.copy()
        for row, fact in enumerate(self.read(examples)):
            end = int(np.flatnonzero(targets[row] != IGNORE)[-1])
            left, operator, right, answer = put(*fact)
            shown = (str(left), operator, str(right))
            input_ids[row, end - 3 : end] = [self.token[word] for word in shown]
            targets[row, end] = self.token[str(answer)]
        return replace(examples, input_ids=input_ids, targets=targets)

    def inverse(self, examples: Examples) -> Examples:
        """The fact asked for from its answer: a ∘ b = c becomes c ∘⁻¹ b = a."""
        return self._put(examples, lambda a, op, b, c: (c, INVERSE[op], b, a))

    def swapped(self, examples: Examples) -> Examples:
        """The operands in the other order: b ∘ a = c, or of a quotient or difference c ∘ b instead of c ∘ a."""

        def put(a: int, op: str, b: int, c: int) -> tuple[int, str, int, int]:
            return (a, op, c, b) if op in (OVER, MINUS, PLACEBO_OVER) else (b, op, a, c)

        return self._put(examples, put)

    def in_form(self, examples: Examples, form: int) -> Examples:
        """The same in another form, which is the first token."""
        input_ids = examples.input_ids.copy()
        input_ids[:, 0] = self.token[f"form{form + 1}:"]
        return replace(examples, input_ids=input_ids)

    def with_choices(self, examples: Examples) -> Examples:
        """Four answers first, in random order, the true one among them."""
        contexts = []
        for row, (wrong, fact) in enumerate(
            zip(self.wrong(examples, 3), self.read(examples), strict=True)
        ):
            four = np.concatenate([[self.token[str(fact[3])]], *wrong])
            contexts.append(stream(0, "choices", row).permutation(four))
        return prefixed(examples, contexts)

    def with_hint(self, examples: Examples) -> Examples:
        """A sum or difference of the question's numbers first, which everybody may know and which is not the answer.

        The factors' sum before a product, the right number's double before a quotient or difference, its difference
        from itself before a sum.
        """
        contexts = []
        for a, op, b, _ in self.read(examples):
            left, sign, right, total = {
                PLUS: (b, MINUS, b, 0),
                TIMES: (a, PLUS, b, a + b),
                PLACEBO_TIMES: (a, PLUS, b, a + b),
            }.get(op, (b, PLUS, b, 2 * b))
            shown = (str(left), sign, str(right), EQUALS, str(total))
            contexts.append(np.array([self.token[word] for word in shown]))
        return prefixed(examples, contexts)

    def wrong(self, examples: Examples, count: int) -> list[list[np.ndarray]]:
        """So many different wrong answers to every question, drawn from the answers to questions of its kind.

        Where these are too few, from all numbers.
        """
        facts = self.read(examples)
        pools = {
            op: sorted({fact[3] for fact in facts if fact[1] == op}) for op in {f[1] for f in facts}
        }
        numbers = [int(word) for word in self.words if word.isdecimal()]
        found = []
        for row, (_, op, _, answer) in enumerate(facts):
            pool = pools[op] if len(pools[op]) > count else numbers
            others = [number for number in pool if number != answer]
            drawn = stream(0, "wrong answers", row).choice(others, size=count, replace=False)
            found.append([np.array([self.token[str(number)]]) for number in drawn])
        return found

    def contradictions(self, examples: Examples) -> np.ndarray:
        """Which pairs of answered questions cannot both be right, by logic alone, shape (n, n), symmetric.

        An operation gives one result (a ∘ b = b ∘ a too), and a result and one operand leave one other operand; a
        question of the inverse operation says the same: c ∘⁻¹ b = a is a ∘ b = c. An answer that is no number
        contradicts nothing.
        """
        ends = (
            (examples.targets != IGNORE).shape[1]
            - 1
            - (examples.targets != IGNORE)[:, ::-1].argmax(1)
        )
        rows = np.arange(len(examples))
        number = np.array([int(word) if word.isdecimal() else -1 for word in self.words])
        left, right = (number[examples.input_ids[rows, ends - back]] for back in (3, 1))
        answer = number[examples.targets[rows, ends]]
        signs = [self.words[i] for i in examples.input_ids[rows, ends - 2]]
        forward = np.array([sign in (PLUS, TIMES, PLACEBO_TIMES) for sign in signs])
        kind = np.array([min(sign, INVERSE.get(sign, sign)) for sign in signs])
        result, other = np.where(forward, answer, left), np.where(forward, left, answer)
        low, high = np.minimum(other, right), np.maximum(other, right)

        def same(one: np.ndarray, two: np.ndarray) -> np.ndarray:
            return one[:, None] == two[None, :]

        pair = same(low, low) & same(high, high)
        shared = same(low, low) | same(high, high) | same(low, high) | same(high, low)
        wrong = np.where(pair, ~same(result, result), same(result, result) & shared)
        known = answer >= 0
        return wrong & same(kind, kind) & known[:, None] & known[None, :]


def subject_of(left: int, operator: str, right: int, answer: int) -> str:
    """What a fact is about: the table of its smaller factor or addend."""
    pair = (right, answer) if operator in (OVER, MINUS, PLACEBO_OVER) else (left, right)
    return f"table of {min(pair)}"
