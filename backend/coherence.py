"""Labels that a model finds mutually predictable and that do not contradict one another: Internal Coherence
Maximization (Wen et al. 2025, arXiv 2506.10139), with answers in place of true and false.

An item's context are a few other labelled items, not all of them, since a small model reads little text at once.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch

from backend.batches import Loader
from backend.context import RunContext
from backend.data import IGNORE, Examples, answers_of, with_answers
from backend.evaluation import score
from backend.prompts import completed, fitting, prefixed

Label = tuple[int, ...]  # the tokens of an answer
Labels = dict[int, Label]  # by item; items without a label are not in it
Keys = list[
    tuple[int, Label, tuple[tuple[int, Label], ...]]
]  # item, its label, what is shown before it


@dataclass
class Predictor:
    """What the model says about labels in context. Every probability is worked out once.

    `orders` holds for every item the others in the order in which they are shown, as far as they have a label.
    """

    run: RunContext
    model: object
    questions: Examples
    shots: int
    orders: list[list[int]]
    known: dict[object, float] = field(default_factory=dict)
    likely: dict[object, list[Label]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lengths = [len(answer) for answer in answers_of(self.questions)]

    def shown(self, labels: Labels, item: int) -> tuple[tuple[int, Label], ...]:
        """The labelled items that stand before an item, never itself."""
        labelled = ((j, labels[j]) for j in self.orders[item] if j in labels)
        return tuple(islice(labelled, self.shots))

    def log_probabilities(self, labellings: Sequence[Labels]) -> list[np.ndarray]:
        """log p(y_i | x_i, the others shown) of every labelled item in its order, for each labelling."""
        keys = [[(i, y[i], self.shown(y, i)) for i in sorted(y)] for y in labellings]
        missing = list(dict.fromkeys(k for some in keys for k in some if k not in self.known))
        if missing:
            self.known.update(zip(missing, -self._losses(missing), strict=True))
        return [np.array([self.known[k] for k in some]) for some in keys]

    def _losses(self, keys: Keys) -> np.ndarray:
        items = self.questions.take(np.array([item for item, _, _ in keys]))
        rows = with_answers(items, [np.array(label) for _, label, _ in keys])
        prompts = fitting(prefixed(rows, [self._text(shown) for _, _, shown in keys]), self.model)
        return score(self.model, Loader(prompts, self.run.device)).loss

    def _text(self, shown: tuple[tuple[int, Label], ...]) -> np.ndarray:
        """The shown items, written out with their labels one after the other."""
        if not shown:
            return np.zeros(0, dtype=np.int64)
        items = self.questions.take(np.array([item for item, _ in shown]))
        return np.concatenate(completed(with_answers(items, [np.array(y) for _, y in shown])))

    def likeliest(self, labels: Labels, item: int, count: int) -> list[Label]:
        """The item's `count` likeliest first tokens given the labels of others, each with its greedy continuation."""
        key = (item, count, self.shown(labels, item))
        if key not in self.likely:
            self.likely[key] = self._continued(*key)
        return self.likely[key]

    @torch.no_grad()
    def _continued(
        self, item: int, count: int, shown: tuple[tuple[int, Label], ...]
    ) -> list[Label]:
        row, target = self.questions.input_ids[item], self.questions.targets[item]
        question = row[: int((target != IGNORE).argmax()) + 1]
        prompt = np.concatenate([self._text(shown), question])
        given = torch.from_numpy(prompt)[None].to(self.run.device)
        for place in range(self.lengths[item]):
            kept = torch.tensor([given.shape[1] - 1], device=given.device)
            logits = self.model(
                given, logits_to_keep=kept, use_cache=False, return_dict=True
            ).logits  # type: ignore[operator]
            best = logits[:, 0].topk(1 if place else count).indices
            given = torch.cat([given.expand(best.numel(), -1), best.reshape(-1, 1)], dim=1)
        return [tuple(found) for found in given[:, len(prompt) :].tolist()]


@dataclass
class Coherence:
    """The score of labellings, and the search for a good one."""

    predictor: Predictor
    contradictions: Callable[[Examples], np.ndarray] | None
    weight: float  # of the predictability, in contradictions a nat
    vocabulary: int

    def contradicting(self, labels: Labels) -> list[tuple[int, int]]:
        """The pairs of labelled items that cannot both be right."""
        items = sorted(labels)
        found = np.triu(self._pairs(items, [labels[i] for i in items]), 1)
        return [(items[i], items[j]) for i, j in np.argwhere(found)]

    def scores(self, labellings: Sequence[Labels]) -> list[float]:
        """U(D) = weight · Σ_i log p(y_i | x_i, D without i) − contradicting pairs of D, for each labelling D.

        An item without a label counts as a guess among all tokens, so that labellings of different size compare; the
        sum as it is published falls with every label that is added, and its authors' program takes the mean instead.
        """
        sums = [found.sum() for found in self.predictor.log_probabilities(labellings)]
        lengths, chance = self.predictor.lengths, -math.log(self.vocabulary)
        guessed = [sum(n for i, n in enumerate(lengths) if i not in y) * chance for y in labellings]
        return [
            float(self.weight * (told + guess) - len(self.contradicting(labels)))
            for told, guess, labels in zip(sums, guessed, labellings, strict=True)
        ]

    def repaired(
        self, labels: Labels, numbers: np.random.Generator, tries: int = 3, candidates: int = 3
    ) -> Labels:
        """The labels with contradictions resolved one by one (the paper's Algorithm 2): a contradicting pair gets the
        consistent labels with the highest score, if that raises it. Labels stand as they are or are likely in context.
        """
        for _ in range(tries):
            pairs = self.contradicting(labels)
            if not pairs:
                break
            pair = pairs[numbers.integers(len(pairs))]
            now, *then = self.scores(
                [labels, *(options := self._options(labels, pair, candidates))]
            )
            if then and max(then) > now:
                labels = options[int(np.argmax(then))]
        return labels

    def _options(self, labels: Labels, pair: tuple[int, int], candidates: int) -> list[Labels]:
        """The labellings in which the two items' labels, their own or likely ones, do not contradict each other."""
        first, second = (
            list(dict.fromkeys([labels[i], *self.predictor.likeliest(labels, i, candidates)]))
            for i in pair
        )
        wrong = self._pairs([pair[0]] * len(first) + [pair[1]] * len(second), [*first, *second])
        return [
            {**labels, pair[0]: one, pair[1]: two}
            for i, one in enumerate(first)
            for j, two in enumerate(second)
            if not wrong[i, len(first) + j]
        ]

    def _pairs(self, items: list[int], labels: list[Label]) -> np.ndarray:
        """Which of these items with these labels contradict each other, shape (n, n)."""
        if self.contradictions is None or not items:
            return np.zeros((len(items), len(items)), dtype=bool)
        put = self.predictor.questions.take(np.array(items))
        return self.contradictions(with_answers(put, [np.array(label) for label in labels]))

    def search(
        self,
        labels: Labels,
        rounds: int,
        temperature: Callable[[int], float],
        numbers: np.random.Generator,
        candidates: int = 3,
    ) -> Labels:
        """The labels after so many rounds from these on (Algorithm 1): label an item anew with what is likeliest given
        the others, repair, and keep the change as simulated annealing at `temperature(round)` does.
        """
        labels = self.repaired(labels, numbers, candidates=candidates)
        for k in range(1, rounds + 1):
            self.predictor.run.check_cancelled()
            item = self._next(labels, numbers)
            (label,) = self.predictor.likeliest(labels, item, 1)
            proposed = self.repaired({**labels, item: label}, numbers, candidates=candidates)
            now, then = self.scores([labels, proposed])
            if accepted(then - now, temperature(k), numbers):
                labels = proposed
        return labels

    def _next(self, labels: Labels, numbers: np.random.Generator) -> int:
        """An item, labelled or not; unlabelled ones of a labelled item's family are 100 times as likely."""
        families = self.predictor.questions.families
        count = len(self.predictor.questions)
        touched = {families[i] for i in labels} if families else set()
        weights = np.array(
            [
                100.0 if touched and i not in labels and families[i] in touched else 1.0
                for i in range(count)
            ]  # fmt: skip
        )
        return int(numbers.choice(count, p=weights / weights.sum()))


def accepted(gain: float, temperature: float, numbers: np.random.Generator) -> bool:
    """Whether a change of the score is kept: a gain always, a loss with probability exp(gain / temperature)."""
    return gain > 0 or bool(numbers.random() < math.exp(gain / temperature))


def cooled(k: int, first: float, cooling: float, last: float) -> float:
    """The temperature of round k = 1, 2, …: first / (1 + cooling · ln k), never below the last."""
    return max(last, first / (1.0 + cooling * math.log(k)))
