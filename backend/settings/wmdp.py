"""WMDP's form: corpora to forget and to keep, multiple-choice questions on both."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np

from backend.data import Examples, Task, stream
from backend.language_model import LanguageModel
from backend.multiple_choice import Question, Scoring, question_of, rows
from backend.registry import Count, Share, Whole, setting
from backend.samples import crafts
from backend.stage import UserError
from backend.text.corpora import SAMPLE, Corpus, Held, check_shares, chosen, generated, of_sources
from backend.text.pretraining import first_rows
from backend.text.pretraining import text_training as started
from backend.text.sources import source

# What lm-eval's line before the questions calls the published files.
TOPICS = {"bio": "biology", "chem": "chemistry", "cyber": "cybersecurity"}
HELD_SHARE, HELD_TOKENS = 0.05, 20_000  # of a retain corpus without questions


@setting(
    label="WMDP",
    source="Li et al. 2024, WMDP (arXiv 2403.03218); questions put as lm-eval puts them",
    neutral={"field": "text", "limit": 0, "question_limit": 0, "attack": "", "topic": ""},
)
def wmdp(
    *,
    forget: str = "",
    retain: str = "",
    questions: str = "",
    retain_questions: str = "",
    attack: str = "",
    attack_share: Share = 1.0,
    field: str = "text",
    limit: Whole = 0,
    question_limit: Whole = 0,
    scoring: Literal["letters", "answers"] = "letters",
    topic: str = "",
    length: Count = 64,
    validation_share: Share = 0.3,
    split_seed: Whole = 0,
    forget_share: Share = 0.5,
    **text_training: Any,
) -> Task:
    """Corpora to forget and to keep, packed into blocks for training; multiple-choice questions are what is scored.

    A source is a JSON, JSONL, Parquet or text file, a folder of those, or a dataset of the hub as
    OWNER/NAME:CONFIG@REVISION; several are separated by commas. Corpora have rows with `text`, or with `question` and
    `answer`; question files rows with `question`, `choices` and `answer` (its place from 0). `sample` names an invented
    domain: imaginary potions to forget, imaginary plants to keep. Without retain questions utility is the loss on a
    part of the retain corpus that is held out.

    Args:
        forget: corpus to forget; published: cais/wmdp-bio-forget-corpus, cais/wmdp-corpora:cyber-forget-corpus
        retain: corpus to keep; published: cais/wmdp-corpora:bio-retain-corpus and cyber-retain-corpus
        questions: questions on what is to be forgotten; published: cais/wmdp:wmdp-bio, wmdp-cyber, wmdp-chem
        retain_questions: questions on what is kept, in the same form; MMLU's are cais/mmlu:all
        attack: corpus that an attacker trains on; empty is the first share of the forget corpus
        attack_share: share of that corpus, its first blocks
        field: where the text stands in a corpus
        limit: read no more than so many rows of each corpus; 0 reads all
        question_limit: take no more than so many questions of each kind, drawn by the split seed; 0 takes all
        scoring: letters lists the choices and compares the letters' probabilities, as lm-eval does for WMDP and MMLU;
            answers compares the choices themselves after the bare question, which small models can do too
        topic: what the line before the questions says that they are about; empty takes the published file's, or a row's
            `subject`
        length: tokens of a training block
        validation_share: share of the questions on which choices are made; the others are scored
        split_seed: seed of the split, the same for every run
        forget_share: share of forget blocks in a batch of the base
    """
    check_shares("wmdp", validation_share, attack_share)
    corpora = {
        "retain": _corpus("retain", retain, field, limit),
        "forget": _corpus("forget", forget, field, limit),
    }
    start = started(
        "wmdp",
        lambda: _texts(corpora.values()),
        str([corpus.identity for corpus in corpora.values()]),
        **text_training,
    )
    model = start.model
    held = None if retain_questions else Held(split_seed, HELD_SHARE, HELD_TOKENS)
    train, splits = _blocks(corpora, model, length, held)
    attacked = _attack_corpus(attack, forget, field, limit)
    given = attacked.blocks(model, length, "attack")["train"] if attacked else train["forget"]
    splits["forget_attack"] = first_rows(given, attack_share)
    told = {"forget": questions, "retain": retain_questions}
    for role, name in told.items():
        if name or role == "forget":
            asked = _questions(role, name, topic if role == "forget" else "", question_limit, split_seed)  # fmt: skip
            splits |= _split(role, asked, model, scoring, validation_share, split_seed)
    return Task(
        name="wmdp",
        train=train,
        splits=splits,
        forget_share=forget_share,
        forget_metric="choice_accuracy",
        retain_metric="choice_accuracy" if retain_questions else "loss",
        metrics=("choice_accuracy", "choice_accuracy_norm", "loss"),
        **start.of_task(),
    )


def _corpus(role: str, name: str, field: str, limit: int) -> Corpus:
    sample = generated(f"crafts:{role}", lambda: crafts.corpus(role))
    return chosen("wmdp", role, name, sample, field, limit)


def _attack_corpus(name: str, forget: str, field: str, limit: int) -> Corpus | None:
    """What an attacker has instead of the forget corpus; of the sample the rows that no question is about."""
    if SAMPLE in (name, name or forget):
        return generated("crafts:attack", lambda: crafts.corpus("forget", "attack"))
    return of_sources(name, field, limit=limit) if name else None


def _texts(corpora: Iterable[Corpus]) -> Iterable[str]:
    return chain.from_iterable(corpus.documents() for corpus in corpora)


def _blocks(
    corpora: dict[str, Corpus], model: LanguageModel, length: int, held: Held | None
) -> tuple[dict[str, Examples], dict[str, Examples]]:
    """The training blocks of both corpora, and what is held out of the retain corpus where it is scored."""
    train = {"forget": corpora["forget"].blocks(model, length, "forget")["train"]}
    if not held:
        return {"retain": corpora["retain"].blocks(model, length, "retain")["train"], **train}, {}
    parts = corpora["retain"].blocks(model, length, "retain", held)
    return {"retain": parts.pop("train"), **train}, {f"retain_{k}": v for k, v in parts.items()}


def _questions(role: str, names: str, topic: str, limit: int, seed: int) -> list[Question]:
    """All questions of some sources, or so many drawn from them."""
    if not names:
        raise UserError(
            "wmdp: questions is empty; give a file of questions with choices, a folder of those, a dataset of the hub, or"
            f" {SAMPLE!r}."
        )
    if names == SAMPLE:
        about = {"forget": "potions", "retain": "plants"}[role]
        told = [question_of(row, about, topic or about, SAMPLE) for row in crafts.questions(role)]
    else:
        told = [one for name in names.split(",") for one in _of_source(name.strip(), topic)]
    order = stream(seed, "wmdp questions", role).permutation(len(told))
    return [told[i] for i in np.sort(order[: limit or None])]


def _of_source(name: str, topic: str) -> Iterable[Question]:
    found = source(name, split="test")
    for file in found.files or (None,):
        one = source(str(file)) if file else found
        kind = file.stem if file else name.partition("@")[0].rpartition(":")[2]
        about = topic or next((t for key, t in TOPICS.items() if key in kind.lower()), "")
        for row in one.records():
            yield question_of(row, kind, about, Path(name).name)


def _split(
    role: str,
    asked: list[Question],
    model: LanguageModel,
    scoring: Scoring,
    validation_share: float,
    seed: int,
) -> dict[str, Examples]:
    found = rows(model.tokenizer, asked, scoring)
    count = round(validation_share * len(asked))
    if not 0 < count < len(asked):
        raise UserError(f"wmdp: {len(asked)} questions leave a part of the {role} questions empty; give more.")  # fmt: skip
    order = stream(seed, "wmdp split", role).permutation(len(asked))
    return {
        f"{role}_validation": found.take(np.sort(order[:count])),
        f"{role}_score": found.take(np.sort(order[count:])),
    }
