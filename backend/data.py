"""Data of a setting, free of torch: examples, batches in a stateless order, and the task that holds them."""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

IGNORE = -100  # a position whose next token is not scored


@dataclass(frozen=True)
class Choices:
    """What else may be answered to the questions of a multiple choice, item by item.

    `wrong` holds the tokens of an item's k − 1 wrong answers, `characters` has shape (items, k): the length of every answer
    as text, the right one's first.
    """

    wrong: tuple[tuple[np.ndarray, ...], ...]
    characters: np.ndarray

    def take(self, indices: np.ndarray) -> "Choices":
        """Those of the items at these indices, in that order."""
        return Choices(tuple(self.wrong[i] for i in indices), self.characters[indices])

    def digest(self) -> bytes:
        """What a hash of the data is made of."""
        tokens = ";".join(",".join(map(str, one)) for item in self.wrong for one in item)
        return tokens.encode() + np.ascontiguousarray(self.characters, dtype="<i8").tobytes()


@dataclass(frozen=True)
class Examples:
    """Token rows, each with the token that should come next where that is scored.

    `input_ids` and `targets` have shape (n, length); `targets[i, t]` is the token after position t, or IGNORE.
    `categories` names the kind of each item (an operation, say), `families` the facts that belong together, `subjects`
    what each is about where a setting has such (an author, the seven times table). `identity` stands for the contents where
    these are large and known by another name, that of a cached file, say. `choices` are the wrong answers among which a
    question's right one is to be found.
    """

    input_ids: np.ndarray
    targets: np.ndarray
    categories: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    identity: str = ""
    choices: Choices | None = None

    def __post_init__(self) -> None:
        assert self.input_ids.shape == self.targets.shape, "inputs and targets differ in shape"

    def __len__(self) -> int:
        return len(self.input_ids)

    def take(self, indices: np.ndarray) -> "Examples":
        """The examples at these indices, in that order."""
        return Examples(
            self.input_ids[indices],
            self.targets[indices],
            tuple(self.categories[i] for i in indices) if self.categories else (),
            tuple(self.families[i] for i in indices) if self.families else (),
            tuple(self.subjects[i] for i in indices) if self.subjects else (),
            choices=self.choices.take(indices) if self.choices else None,
        )

    @cached_property
    def columns(self) -> np.ndarray:
        """The positions at which any row is scored; logits are computed for these only."""
        if len(self) and (self.targets[0] != IGNORE).all():
            return np.arange(self.targets.shape[1])
        return np.flatnonzero((self.targets != IGNORE).any(axis=0))

    def digest(self) -> bytes:
        """What a hash of the data is made of: the identity, else inputs and targets themselves."""
        if self.identity:
            return self.identity.encode()
        arrays = (self.input_ids, self.targets)
        rows = b"".join(np.ascontiguousarray(array, dtype="<i8").tobytes() for array in arrays)
        return rows + (self.choices.digest() if self.choices else b"")

    @cached_property
    def counts(self) -> dict[int, int]:
        """How often every token is scored, read a few thousand rows at a time."""
        found: Counter[int] = Counter()
        for start in range(0, len(self), 4096):
            scored = np.asarray(self.targets[start : start + 4096])
            tokens, times = np.unique(scored[scored != IGNORE], return_counts=True)
            found.update(dict(zip(tokens.tolist(), times.tolist(), strict=True)))
        return dict(found)


def join(*groups: Examples) -> Examples:
    """One after the other; all rows must have the same length."""
    return Examples(
        np.concatenate([group.input_ids for group in groups]),
        np.concatenate([group.targets for group in groups]),
        tuple(name for group in groups for name in group.categories),
        tuple(name for group in groups for name in group.families),
        tuple(name for group in groups for name in group.subjects),
    )


def stream(seed: int, *purpose: str | int) -> np.random.Generator:
    """A random generator of its own for each seed and purpose, the same on every machine."""
    text = "/".join(map(str, (seed, *purpose)))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]))


def with_answers(
    examples: Examples, answers: list[np.ndarray], prefixes: list[np.ndarray] | None = None
) -> Examples:
    """The same questions with other answers: everything up to the first scored position, then the given tokens.

    `prefixes` are tokens between question and answer that are read but not scored. Rows are filled up on the right with
    token 0, which causal models never see from an answer's positions.
    """
    first = (examples.targets != IGNORE).argmax(axis=1)
    before = prefixes or [np.zeros(0, dtype=np.int64)] * len(examples)
    rows = list(zip(first, before, answers, strict=True))
    length = int(max(start + len(prefix) + len(answer) for start, prefix, answer in rows))
    input_ids = np.zeros((len(examples), length), dtype=np.int64)
    targets = np.full_like(input_ids, IGNORE)
    for row, (start, prefix, answer) in enumerate(rows):
        given = np.concatenate([examples.input_ids[row, : start + 1], prefix, answer[:-1]])
        input_ids[row, : len(given)] = given
        targets[row, start + len(prefix) : len(given)] = answer
    return Examples(input_ids, targets, examples.categories, examples.families, examples.subjects)


def answers_of(examples: Examples) -> list[np.ndarray]:
    """The scored tokens of every example."""
    return [row[row != IGNORE] for row in examples.targets]


Rewrite = Callable[[Examples], Examples]


class Order:
    """Which examples make up batch k: epochs of shuffled indices, as a function of k alone.

    Nothing has to be stored for a resumed run to go on with the very batch that it would have seen.
    """

    def __init__(self, count: int, size: int, seed: int, purpose: str):
        assert count > 0 and size > 0, f"cannot draw {size} of {count} examples"
        self.count, self.size, self.seed, self.purpose = count, size, seed, purpose
        self._epochs: dict[int, np.ndarray] = {}

    def batch(self, k: int) -> np.ndarray:
        """Indices of batch k, shape (size,); an epoch's end and the next one's start may share a batch."""
        positions = np.arange(k * self.size, (k + 1) * self.size)
        epochs = positions // self.count
        return np.concatenate(
            [self._epoch(e)[positions[epochs == e] % self.count] for e in np.unique(epochs)]
        )

    def _epoch(self, epoch: np.integer[Any]) -> np.ndarray:
        key = int(epoch)
        if key not in self._epochs:
            self._epochs = {k: v for k, v in self._epochs.items() if k >= key - 1}
            shuffled = stream(self.seed, self.purpose, key).permutation(self.count)
            self._epochs[key] = shuffled
        return self._epochs[key]


@dataclass(frozen=True)
class Task:
    """A setting made concrete: data, model and training of the base.

    `train` holds `retain` and `forget`; `splits` what is evaluated (`retain_score`, `retain_validation`,
    `forget_score`, `forget_validation`, the same for `placebo`) and what attackers train on (`forget_attack`,
    `placebo_attack`). `base_training` holds steps, batch_size and what `backend.training.train` takes.
    """

    name: str
    model: dict[str, Any]  # {"family": …, and the fields of its transformers configuration}
    base_training: dict[str, Any]
    train: dict[str, Examples]
    splits: dict[str, Examples]
    words: tuple[str, ...]  # the text of every token
    forget_metric: str = "answer_accuracy"
    retain_metric: str = "answer_accuracy"
    metrics: tuple[str, ...] = ("answer_accuracy", "loss")
    forget_share: float = 0.5  # of the facts in a batch of the base's training
    refusals: tuple[tuple[int, ...], ...] = ()  # answers that say nothing, as tokens
    sampled: int = 12  # questions of each category whose answers are kept as text
    decode: Callable[[Any], str] | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    # Other ways to put the same questions, by group (`rwku_probes`, `tense`, …) and name. A rewrite has one row for
    # every row that it is given, in the same order; its answers may differ, as those of a reversed question do.
    rewrites: dict[str, dict[str, Rewrite]] = field(default_factory=dict)
    # (examples, k) → for every example k different wrong answers of the same kind, as token arrays.
    wrong_answers: Callable[[Examples, int], list[list[np.ndarray]]] | None = None
    # Validation questions with a text before them that says the answer, which no weights know, and the same questions
    # alone, row by row; None where the setting trains no model to learn from such a text.
    in_context: tuple[Examples, Examples] | None = None
    # Rows of several facts, with retain facts alone (`retain`) or forget facts too (`forget`), and their share of the
    # rows that base and oracle train on; they teach to learn within a context.
    contexts: dict[str, Examples] = field(default_factory=dict)
    context_share: float = 0.0
    # Answered questions → which pairs of them cannot both be right, whatever the truth is, shape (n, n).
    contradictions: Callable[[Examples], np.ndarray] | None = None
    # How long an answer may grow where models write it themselves, in tokens, and the texts before which it ends, by split.
    writing: dict[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    tokenizer: str = ""  # JSON of the tokenizer of the library `tokenizers`; empty where `words` are all there is
    # What stands for a model that never knew: the oracle, or the metric's floor φ where no model can be trained without.
    anchor: Literal["oracle", "floor"] = "oracle"
    # What the oracle is trained on where the retain data hold some of what it shall not know, undetected poison say.
    clean: Examples | None = None
    # Why there is no data here, in a sentence: sizes are true then, contents are not.
    absent: str = ""

    @property
    def unseen(self) -> str | None:
        """The split of items that no model was ever trained on; None where a setting has none."""
        return next((s for s in ("unseen_score", "placebo_score") if s in self.splits), None)

    @property
    def members(self) -> str:
        """The split of forget items that are held against the unseen ones, of the same kind as they."""
        return "members_score" if "members_score" in self.splits else "forget_score"

    def text(self, ids: Any) -> str:
        """The text of a row of tokens."""
        if self.decode is not None:
            return self.decode(ids)
        return " ".join(self.words[int(i)] for i in ids)

    @cached_property
    def content_hash(self) -> str:
        """Hash of everything that a number could depend on in the data, 16 hexadecimal digits."""
        digest = hashlib.sha256()
        clean = {"clean": self.clean} if self.clean is not None else {}
        for group in (self.train, self.splits, self.contexts, clean):
            for name in sorted(group):
                digest.update(name.encode())
                digest.update(group[name].digest())
        digest.update("\n".join(self.words).encode())
        digest.update(str(self.model.get("weights", "")).encode())
        return digest.hexdigest()[:16]


def unigram_floor(task: Task, split: str) -> float:
    """Cross-entropy in nats, on a split's scored tokens, of add-one-smoothed unigram counts over the base's training text.

    The base sees retain and forget examples in fixed shares, so each part's counts are scaled to its share of that text.
    """
    vocabulary = max(len(task.words), task.model["vocab_size"])
    seen = task.base_training["steps"] * task.base_training["batch_size"] or sum(
        map(len, task.train.values())
    )
    counts = np.ones(vocabulary)
    groups = ((task.train, 1 - task.context_share), (task.contexts, task.context_share))
    for group, rows in groups:
        for name, part in group.items():
            share = rows * (task.forget_share if name == "forget" else 1 - task.forget_share)
            found = part.counts
            times = np.zeros(vocabulary, dtype=np.int64)
            times[list(found)] = list(found.values())
            counts += share * seen * times / len(part)
    scored = task.splits[split].targets
    scored = scored[scored != IGNORE]
    return float(-np.log(counts[scored] / counts.sum()).mean())


def chance(task: Task, split: str) -> float | None:
    """1/k for questions with k choices each; None where nothing is to be chosen."""
    choices = task.splits[split].choices
    return 1.0 / choices.characters.shape[1] if choices else None
