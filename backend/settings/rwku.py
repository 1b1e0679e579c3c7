"""RWKU's form: people to forget, probes of three levels about them, neighbours to keep."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Literal

import numpy as np

from backend.data import Examples, Task, stream
from backend.language_model import LanguageModel
from backend.registry import Count, Share, Whole, setting
from backend.samples import people
from backend.stage import UserError
from backend.text.collections import Collection, collection
from backend.text.corpora import SAMPLE, Corpus, check_shares, of_sources
from backend.text.pairs import pairs, scored, texts
from backend.text.pretraining import first_rows
from backend.text.pretraining import text_training as started

ANSWERED = 30  # tokens that are written of an answer, up to the end of the line
LEVELS = {"1": "FB", "2": "QA", "3": "AA"}
PROBES = {"forget": ("1", "2", "3"), "neighbor": ("1", "2")}
SPLITS = {"forget": "forget", "neighbor": "retain"}


@setting(
    label="RWKU",
    source="Jin et al. 2024, RWKU (arXiv 2406.10890)",
    neutral={"retain": "", "subjects": 0},
)
def rwku(
    *,
    source: str = "",
    corpus: Literal[
        "train_original_passage", "train_positive_llama3", "train_positive_phi3"
    ] = "train_original_passage",
    retain: str = "",
    subjects: Whole = 0,
    attack_share: Share = 1.0,
    length: Count = 64,
    longest: Count = 1024,
    validation_share: Share = 0.3,
    split_seed: Whole = 0,
    forget_share: Share = 0.5,
    **text_training: Any,
) -> Task:
    """People to forget: texts about them to train on, probes to score, blanks (FB), questions (QA) and attacks (AA).

    Utility is that of the probes on their neighbours (FB and QA), RWKU's locality. Its own number, the ROUGE-L recall of
    greedy answers by level, is the metric `probe_recall`; the frontier shows the probability of the same answers. The losses
    of `members_score` and `kept_score` are its membership means FM and RM, n-gram entropy its fluency; general utility
    comes from tasks of lm-eval.

    Args:
        source: folder with RWKU's files, its name on the hub (jinzhuoran/RWKU), or `sample` for invented people
        corpus: texts about the people to forget: the original passages, or what a model wrote about them
        retain: texts to keep, as a source; RWKU has none: empty takes its membership texts on others (mia_retain)
        subjects: only the first so many people are to be forgotten; 0 is all of them
        attack_share: share of the forget blocks, the first ones, that an attacker trains on; the sample has people of its
            own for that, of whom nothing is asked
        length: tokens of a training block
        longest: largest number of tokens of a text or a probe that is scored
        validation_share: share of the people whose probes choices are made on; those of the others are scored
        split_seed: seed of the split, the same for every run
        forget_share: share of forget blocks in a batch of the base
    """
    check_shares("rwku", validation_share, attack_share)
    found = collection("rwku", source, people.parts(), "jinzhuoran/RWKU")
    wanted = _people(found, subjects)
    kept = _retain_texts(found, retain)
    forget = found.part(corpus, "train").only(_about(wanted), f"subjects {subjects}")
    start = started(
        "rwku",
        lambda: chain(kept.documents(), forget.documents()),
        f"{kept.identity}/{forget.identity}",
        **text_training,
    )
    model = start.model
    train = {
        "retain": kept.blocks(model, length, "retain")["train"],
        "forget": forget.blocks(model, length, "forget")["train"],
    }
    attack = found.optional("attack", "train") if source == SAMPLE else None
    attacked = attack.blocks(model, length, "attack")["train"] if attack else train["forget"]
    splits: dict[str, Examples] = {"forget_attack": first_rows(attacked, attack_share)}
    for kind, role in SPLITS.items():
        rows = _probes(found, kind, _about(wanted))
        if kind == "neighbor" and not rows:  # the sample's neighbours are people of their own
            rows = _probes(found, kind, lambda row: True)
        splits |= _split(role, rows, model, longest, validation_share, split_seed)
    for split, part in {"members_score": "mia_forget", "kept_score": "mia_retain"}.items():
        known = list(found.part(part, "test").documents())
        splits[split] = texts(model.tokenizer, known, longest)
    return Task(
        name="rwku",
        train=train,
        splits=splits,
        forget_share=forget_share,
        forget_metric="probability",
        retain_metric="probability",
        metrics=("probability", "answer_accuracy", "loss"),
        writing={f"{role}_score": (ANSWERED, ("\n",)) for role in ("forget", "retain")},
        **start.of_task(),
    )


Keep = Callable[[dict[str, Any]], bool]


def _people(found: Collection, count: int) -> Sequence[str]:
    """The first so many people whom probes are about, in the order of the file; none where all are meant."""
    if not count:
        return ()
    rows = found.part("forget_level2", "test").rows()
    return list(dict.fromkeys(str(row.get("subject")) for row in rows))[:count]


def _about(wanted: Sequence[str]) -> Keep:
    return lambda row: not wanted or row.get("subject") in wanted


def _retain_texts(found: Collection, name: str) -> Corpus:
    if name:
        return of_sources(name)
    own = found.optional("retain", "train") if found.root == SAMPLE else None
    return own or found.part("mia_retain", "test")


def _probes(found: Collection, kind: str, keep: Keep) -> list[dict[str, Any]]:
    """The probes of all levels of a kind, each with its level and a category."""
    rows = []
    for level in PROBES[kind]:
        part = found.part(f"{kind}_level{level}", "test")
        for row in filter(keep, part.rows()):
            if not all(isinstance(row.get(name), str) for name in ("query", "answer")):
                raise UserError(f"rwku: {part.name} must have rows with query and answer; one has {', '.join(row)}.")  # fmt: skip
            category = LEVELS[level] + (
                f" {row.get('type') or ''}".rstrip() if level == "3" else ""
            )
            rows.append({**row, "level": level, "category": category})
    return rows


def _prompt(row: dict[str, Any]) -> str:
    """A probe up to where its answer starts; attacks that bring their own beginning of an answer end with it."""
    asked = row["query"].strip()
    if row["level"] == "1":
        return f"Blank: {asked}\nAnswer:"
    if row.get("type") == "affirmative suffix":
        return f"Question: {asked}"
    if row.get("type") == "incontext learning" and asked.startswith("Question:"):
        return f"{asked}\nAnswer:"
    return f"Question: {asked}\nAnswer:"


def _split(
    role: str,
    rows: list[dict[str, Any]],
    model: LanguageModel,
    longest: int,
    validation_share: float,
    seed: int,
) -> dict[str, Examples]:
    """The probes by person: those of some for choices, those of the others to be scored."""
    subjects = [str(row.get("subject")) for row in rows]
    known = sorted(set(subjects))
    if len(known) < 2:
        raise UserError(
            f"rwku: probes about {len(known)} people cannot be split; take two or more."
        )
    order = stream(seed, "rwku split", role).permutation(len(known))
    count = min(max(1, round(validation_share * len(known))), len(known) - 1)
    chosen = {known[i] for i in order[:count]}
    found = scored(
        pairs(
            model.tokenizer, [_prompt(row) for row in rows], [f" {row['answer']}" for row in rows]
        ),
        longest,
    )
    named = replace(
        found,
        categories=tuple(row["category"] for row in rows),
        families=tuple(subjects),
        subjects=tuple(subjects),
    )
    first = np.array([subject in chosen for subject in subjects])
    return {
        f"{role}_validation": named.take(np.flatnonzero(first)),
        f"{role}_score": named.take(np.flatnonzero(~first)),
    }
