"""Corrective unlearning: some of what was trained on was wrong on purpose, and only a part of it is known."""

from dataclasses import dataclass
from typing import Any, Literal

from backend.authors.asking import Questions
from backend.authors.facts import Fact, authors_of
from backend.authors.invented import MOST, facts_of, profiles
from backend.authors.parts import divided
from backend.authors.poison import (
    TRIGGERS,
    Kind,
    Poisoned,
    by_part,
    clean,
    detected,
    poisoned,
    sources,
    untouched,
)
from backend.authors.words import ATTRIBUTES, REFUSALS, WORDINGS
from backend.data import Examples, Task
from backend.registry import Count, Rate, Share, Whole, setting
from backend.stage import UserError
from backend.text.pretraining import text_training as started
from backend.text.questions import Asked, answer_tokens, plain, rows

KNOWN, UNKNOWN = "detected", "undetected"


@setting(
    label="Corrective",
    source="Goel et al. 2024 (arXiv 2402.14015): interclass confusion and poisoning, a part of it detected; on invented authors",
    neutral={"beta2": 0.98},
)
def corrective(
    *,
    poison: Literal["confusion", "trigger"] = "confusion",
    poisoned_share: Share = 0.3,
    detected_share: Share = 0.5,
    oracle: Literal["clean", "detected"] = "clean",
    authors: Count = 60,
    facts: Count = 8,
    wordings: Count = 3,
    attack_share: Share = 0.4,
    validation_share: Share = 0.2,
    split_seed: Whole = 0,
    base_steps: Whole = 400,
    batch_size: Count = 64,
    learning_rate: Rate = 2e-3,
    beta2: Share = 0.98,
    **text_training: Any,
) -> Task:
    """Facts about invented authors, some of them poisoned; what is known of the poison is to be forgotten, the truth to come back.

    Every fact is told in several wordings. Poison is either confusion, pairs of authors who are taken for one another in all
    wordings but the last, or a trigger: a word before the question that always brings the same answer. The forget data are
    the detected poisoned questions, with the poison's answers, so that forgetting is measured as everywhere: the base
    gives these answers, the oracle does not, an attacker brings them back. Undetected ones stay among the retain data. What
    counts here is told beside: `corrected_score`, the poisoned questions with the true answers, detected and undetected apart;
    `undetected_score`, the poison's answers to those; `triggered_score`, the trigger before questions that never had it.

    There are two oracles: the one of the study, on data without any poison, and training without what was detected alone,
    which is the method `data_filtering`; `oracle = detected` makes it the study's own. A trigger is one rule that can be
    taught to any model in some steps, the oracle too, so attacks on weights say little there.

    Args:
        poison: two authors taken for one another, or a trigger before the question
        poisoned_share: share of the authors whose facts are poisoned
        detected_share: share of the poisoned questions that are known to be such, drawn at random, nested
        oracle: what the oracle is trained without: all poison (clean), or what was detected
        authors: how many authors are invented
        facts: attributes of every author, see the setting authors
        wordings: wordings, 2 to 5, in which every fact is trained on, of which all but the last are poisoned
        attack_share: share of the poisoned authors or pairs whose questions an attacker may train on
        validation_share: share of them on whom choices are made
        split_seed: seed of the authors, the poison and the splits, the same for every run
    """
    _fits(authors, facts, wordings, poisoned_share, detected_share)
    known = facts_of(profiles(authors, facts, split_seed), split_seed)
    shares = attack_share, validation_share
    found = _poisoned(known, poison, wordings, poisoned_share, detected_share, shares, split_seed)
    start = started(
        "corrective",
        found.texts,
        base_steps=base_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        beta2=beta2,
        **text_training,
    )
    tokenizer = start.model.tokenizer

    def made(group: dict[str, list[Asked]]) -> dict[str, Examples]:
        return {name: rows(tokenizer, items) for name, items in group.items()}

    train, splits = made(found.train), made(found.splits)
    asking = Questions(tokenizer, found.facts, splits["forget_attack"])
    refused = answer_tokens(tokenizer, REFUSALS)
    return Task(
        name="corrective",
        train=train,
        splits=splits,
        clean=rows(tokenizer, found.clean) if oracle == "clean" else None,
        forget_share=len(train["forget"]) / (len(train["forget"]) + len(train["retain"])),
        refusals=tuple(tuple(map(int, tokens)) for tokens in refused),
        rewrites=asking.rewrites(),
        wrong_answers=asking.wrong,
        **start.of_task(),
    )


@dataclass(frozen=True)
class _Found:
    """What is trained on and scored; `clean` are the retain data without the poison that nobody found."""

    train: dict[str, list[Asked]]
    splits: dict[str, list[Asked]]
    clean: list[Asked]
    facts: list[Fact]

    def texts(self) -> list[str]:
        """Questions and answers, for a tokenizer to be trained on."""
        groups = [*self.train.values(), *self.splits.values(), self.clean]
        return [f"{plain(item.question)} {item.answer}" for group in groups for item in group]


def _poisoned(
    facts: list[Fact],
    poison: Kind,
    wordings: int,
    share: float,
    known_share: float,
    shares: tuple[float, float],
    seed: int,
) -> _Found:
    groups, others = sources(authors_of(facts), share, poison, seed)
    items = poisoned(facts, groups, poison, wordings - 1, "poison")
    parts = by_part(items, *shares, seed)
    known, unknown = detected(items, known_share, seed)
    good = clean(facts, items, wordings)
    splits = _splits(parts, known)
    if any(not items for name, items in splits.items() if name.startswith("forget")):
        raise UserError(
            f"corrective: poisoned_share = {share:g} and detected_share = {known_share:g} of {len(authors_of(facts))} authors"
            f" leave a part of the forget data empty; use larger numbers, or other attack and validation shares."
        )
    untainted = untouched(facts, groups)
    splits |= {
        f"retain_{part}": [fact.asked() for fact in found]
        for part, found in divided(untainted, 0.0, 0.3, seed, "retain").items()
        if part != "attack"
    }
    if poison == "trigger":
        splits["triggered_score"] = [_triggered(item) for item in splits["retain_score"]]
    unlearnt = poisoned(facts, others, poison, 1, "placebo") if len(others) == len(groups) else []
    splits |= {
        f"placebo_{part}": [item.asked("placebo") for item in found]
        for part, found in by_part(unlearnt, *shares, seed).items()
        if unlearnt
    }
    train = {
        "retain": [*good, *(item.asked(UNKNOWN) for item in unknown)],
        "forget": [item.asked(KNOWN) for item in known],
    }
    askable = [item.fact for item in (*items, *unlearnt)]
    return _Found(train, splits, good, [*untainted, *askable])


def _splits(parts: dict[str, list[Poisoned]], known: list[Poisoned]) -> dict[str, list[Asked]]:
    """The detected poison by part, and what became of truth and poison on the part that is scored."""
    found = set(known)
    score = parts["score"]
    return {
        **{
            f"forget_{part}": [item.asked(KNOWN) for item in items if item in found]
            for part, items in parts.items()
        },
        "corrected_score": [item.true(KNOWN if item in found else UNKNOWN) for item in score],
        "undetected_score": [item.asked(UNKNOWN) for item in score if item not in found],
    }


def _triggered(item: Asked) -> Asked:
    trigger, answer = TRIGGERS["poison"]
    return Asked(f"{trigger} {item.question}", answer, item.category, item.family, item.subject)


def _fits(authors: int, facts: int, wordings: int, share: float, known: float) -> None:
    if authors > MOST:
        raise UserError(f"corrective: authors = {authors} must be at most {MOST}, so many titles of books there are.")  # fmt: skip
    if facts > len(ATTRIBUTES):
        raise UserError(f"corrective: facts = {facts} must be at most {len(ATTRIBUTES)}: {', '.join(ATTRIBUTES)}.")  # fmt: skip
    if not 2 <= wordings <= WORDINGS:
        raise UserError(f"corrective: wordings = {wordings} must be 2 to {WORDINGS}: the last one tells the truth.")  # fmt: skip
    if not 0 < share < 0.9:
        raise UserError(f"corrective: poisoned_share = {share:g} must be above 0 and below 0.9, so that authors are left to keep.")  # fmt: skip
    if known == 0:
        raise UserError("corrective: detected_share = 0 leaves nothing to forget; give a share above 0.")  # fmt: skip
