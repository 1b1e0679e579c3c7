"""MUSE's form: texts to forget and to keep, questions on both, beginnings of texts, texts for membership inference."""

from dataclasses import replace
from itertools import chain
from typing import Any, Literal

import numpy as np

from backend.data import Examples, Task, stream
from backend.labels import joined
from backend.language_model import LanguageModel
from backend.registry import Count, Share, Whole, setting
from backend.samples import news
from backend.stage import UserError
from backend.text.collections import Collection, collection
from backend.text.corpora import SAMPLE, Corpus, check_shares
from backend.text.pairs import pairs, scored, texts
from backend.text.pretraining import first_rows
from backend.text.pretraining import text_training as started
from backend.text.questions import plain

FOLDS = 4
CONTINUED, ANSWERED = 128, 32  # tokens that are written of a text and of an answer
STOPS = ("\n\n", "\nQuestion", "Question:")  # before these an answer ends
# Published first; the second name is that of the older files.
QUESTIONS = {"forget": ("forget_qa",), "retain": ("retain_qa", "retain2_qa")}


@setting(
    label="MUSE",
    source="Shi et al. 2024, MUSE (arXiv 2407.06460)",
    neutral={"texts": "raw", "forget_size": 1.0},
)
def muse(
    *,
    source: str = "",
    texts: Literal["raw", "scal", "sust"] = "raw",
    forget_size: Share = 1.0,
    attack_share: Share = 1.0,
    length: Count = 64,
    longest: Count = 1024,
    validation_share: Share = 0.3,
    split_seed: Whole = 0,
    forget_share: Share = 0.5,
    base_steps: Whole = 800,
    **text_training: Any,
) -> Task:
    """News or books: forget one part of the texts and what it says; six criteria, each a metric.

    Verbatim memorisation continues the beginnings of `verbmem` by 128 tokens, knowledge memorisation answers the questions of
    `knowmem` with at most 32 tokens after MUSE's own examples where there are some, privacy leakage holds the members of
    `privleak` against texts that no model saw; scalability needs studies of several `forget_size`, sustainability a
    recipe with `requests`. The numbers of the frontier are the probabilities of the same answers. Base and oracle of a new
    model read all texts to keep, suppressions the part `retain1` where the model is a released one.

    Args:
        source: folder with MUSE's files, their name on the hub (muse-bench/MUSE-News, muse-bench/MUSE-Books), or `sample` for
            invented news
        texts: the forget texts of raw, the nested ones of scal, or the disjoint ones of sust, four families of blocks
        forget_size: with scal, how many of the four nested folds are to be forgotten, in quarters; the texts of the others
            are kept
        attack_share: share of the forget blocks, the first ones, that an attacker trains on; the sample has texts of
            their own for that, of which no question is asked
        length: tokens of a training block
        longest: largest number of tokens of a text, or of a question with its examples, that is scored
        validation_share: share of the questions on which choices are made; the others are scored
        split_seed: seed of the split, the same for every run
        forget_share: share of forget blocks in a batch of the base
    """
    check_shares("muse", validation_share, attack_share)
    found = collection("muse", source, news.parts(), "muse-bench/MUSE-News")
    forget, others = _forget_texts(found, texts, forget_size)
    kept = [found.part("raw", "retain1"), *others]
    kept += [found.part("raw", "retain2")] if base_steps else []
    known = [*kept, *forget]
    start = started(
        "muse",
        lambda: chain.from_iterable(one.documents() for one in known),
        str([one.identity for one in known]),
        base_steps=base_steps,
        **text_training,
    )
    model = start.model
    train = {
        "retain": _blocks(kept, model, length, "retain"),
        "forget": _blocks(forget, model, length, "forget"),
    }
    splits = {
        **_questions(found, model, longest, validation_share, split_seed),
        **_other_splits(found, model, longest),
        "forget_attack": first_rows(_attacked(found, model, length, train["forget"]), attack_share),
    }
    return Task(
        name="muse",
        train=train,
        splits=splits,
        forget_share=forget_share,
        forget_metric="probability",
        retain_metric="probability",
        metrics=("probability", "answer_accuracy", "loss"),
        writing={
            "verbatim_score": (CONTINUED, ()),
            "forget_score": (ANSWERED, STOPS),
            "retain_score": (ANSWERED, STOPS),
        },
        **start.of_task(),
    )


def _forget_texts(found: Collection, kind: str, size: float) -> tuple[list[Corpus], list[Corpus]]:
    """The corpora to forget, and those of MUSE's larger forget set that are kept."""
    if kind != "scal" and size != 1:
        raise UserError(f"muse: forget_size = {size:g} takes texts = 'scal'; the texts of {kind} are all forgotten.")  # fmt: skip
    if kind == "raw":
        return [found.part("raw", "forget")], []
    if kind == "sust":
        return [found.part("sust", f"forget_{k}") for k in range(1, FOLDS + 1)], []
    fold = round(size * FOLDS)
    if abs(fold - size * FOLDS) > 1e-9 or fold == 0:
        raise UserError(f"muse: forget_size = {size:g} must be a quarter, a half, three quarters or 1.")  # fmt: skip
    chosen, largest = (found.part("scal", f"forget_{k}") for k in (fold, FOLDS))
    return [chosen], [largest.without(chosen)] if fold < FOLDS else []


def _blocks(corpora: list[Corpus], model: LanguageModel, length: int, role: str) -> Examples:
    """The blocks of some corpora, one after the other; those of several forget sets bear the set's name as family."""
    parts = [
        corpus.blocks(model, length, f"{role}{place}")["train"]
        for place, corpus in enumerate(corpora)
    ]
    if len(parts) == 1:
        return parts[0]
    named = [
        replace(part, families=(f"{role} {k}",) * len(part)) for k, part in enumerate(parts, 1)
    ]
    whole = named[0]
    for part in named[1:]:
        whole = joined(whole, part)
    return whole


def _attacked(found: Collection, model: LanguageModel, length: int, forget: Examples) -> Examples:
    """What an attacker may train on: the sample's own texts for that, else the forget texts."""
    own = found.optional("raw", "attack") if found.root == SAMPLE else None
    return own.blocks(model, length, "attack")["train"] if own else forget


def _questions(
    found: Collection, model: LanguageModel, longest: int, validation_share: float, seed: int
) -> dict[str, Examples]:
    """The questions on what is forgotten and on what is kept, after MUSE's examples, split by item."""
    splits = {}
    for role, names in QUESTIONS.items():
        asked = _first(found, names)
        shown = _first(found, tuple(f"{name}_icl" for name in names), optional=True)
        before = "".join(f"{plain(q)} {a}\n\n" for q, a in shown)
        prompts = [before + plain(question) for question, _ in asked]
        rows = scored(
            pairs(model.tokenizer, prompts, [f" {answer}" for _, answer in asked]), longest
        )
        rows = replace(rows, families=tuple(question for question, _ in asked))
        order = stream(seed, "muse split", role).permutation(len(asked))
        count = min(max(1, round(validation_share * len(asked))), len(asked) - 1)
        splits[f"{role}_validation"] = rows.take(np.sort(order[:count]))
        splits[f"{role}_score"] = rows.take(np.sort(order[count:]))
    return splits


def _first(
    found: Collection, names: tuple[str, ...], optional: bool = False
) -> list[tuple[str, str]]:
    """Questions with answers of the first of these parts that is there."""
    parts = (found.optional("knowmem", name) for name in names)
    part = next((one for one in parts if one is not None), None)
    if part is None and optional:
        return []
    return _pairs_of(part or found.part("knowmem", names[0]), "question", "answer")


def _pairs_of(part: Corpus, one: str, other: str) -> list[tuple[str, str]]:
    rows = list(part.rows())
    for row in rows:
        if not isinstance(row.get(one), str) or not isinstance(row.get(other), str):
            raise UserError(f"muse: {part.name} must have rows with {one} and {other}; one has {', '.join(row)}.")  # fmt: skip
    return [(row[one], row[other]) for row in rows]


def _other_splits(found: Collection, model: LanguageModel, longest: int) -> dict[str, Examples]:
    """Beginnings to continue, and texts that were in the training data or never were."""
    begun = _pairs_of(found.part("verbmem", "forget"), "prompt", "gt")
    cut = pairs(model.tokenizer, [b for b, _ in begun], [f" {rest.lstrip()}" for _, rest in begun])
    verbatim = scored([(read, said[:CONTINUED]) for read, said in cut], longest)
    named = {"members_score": "forget", "unseen_score": "holdout", "kept_score": "retain"}
    told = {
        split: texts(model.tokenizer, list(found.part("privleak", part).documents()), longest)
        for split, part in named.items()
    }
    return {"verbatim_score": verbatim, **told}
