"""Two languages, or any two kinds of text: keep the one, forget the other."""

from itertools import chain
from typing import Any

from backend.data import Task
from backend.registry import Count, Share, Whole, setting
from backend.stage import UserError
from backend.text.corpora import Corpus, Held, chosen, generated
from backend.text.languages import sentences
from backend.text.pretraining import first_rows
from backend.text.pretraining import text_training as started

SENTENCES = 12000  # of each of the two invented languages


@setting(
    label="Language",
    source="Lee et al. 2025 (arXiv 2506.06278), language task: English kept, Korean forgotten",
    neutral={"field": "text", "limit": 0},
)
def language(
    *,
    keep: str = "",
    forget: str = "",
    field: str = "text",
    limit: Whole = 0,
    length: Count = 64,
    attack_share: Share = 1.0,
    held_share: Share = 0.1,
    held_tokens: Count = 20000,
    split_seed: Whole = 0,
    forget_share: Share = 0.5,
    **text_training: Any,
) -> Task:
    """Two sources of text, packed into blocks: the base reads both, the oracle only what is kept; losses on held-out text.

    A source is a text file (documents are what stands between blank lines, else the lines), a JSON, JSONL or Parquet file,
    a folder of those, a dataset's folder, or a dataset of the hub as OWNER/NAME:CONFIG@REVISION; several are separated
    by commas, and `sample` names a small invented language.

    Args:
        keep: text whose language the model shall keep
        forget: text whose language it shall forget
        field: where the text stands in JSON, Parquet and datasets
        limit: read no more than so many documents of each source; 0 reads all
        length: tokens of a block
        attack_share: share of the forget training text that an attacker may train on
        held_share: share of the documents that is held out for validation, and as many to score
        held_tokens: largest number of tokens of each held-out part; documents beyond are trained on
        split_seed: seed of the split, the same for every run
        forget_share: share of forget blocks in a batch of the base
    """
    _fits(held_share, attack_share)
    corpora = {
        "retain": _corpus("keep", keep, field, limit),
        "forget": _corpus("forget", forget, field, limit),
    }
    start = started(
        "language",
        lambda: chain.from_iterable(one.documents() for one in corpora.values()),
        str([one.identity for one in corpora.values()]),
        **text_training,
    )
    held = Held(split_seed, held_share, held_tokens)
    parts = {
        f"{name}_{part}": blocks
        for name, one in corpora.items()
        for part, blocks in one.blocks(start.model, length, name, held).items()
    }
    train = {name: parts.pop(f"{name}_train") for name in corpora}
    parts["forget_attack"] = first_rows(train["forget"], attack_share)
    return Task(
        name="language",
        train=train,
        splits=parts,
        forget_share=forget_share,
        forget_metric="loss",
        retain_metric="loss",
        metrics=("loss",),
        **start.of_task(),
    )


def _fits(held_share: float, attack_share: float) -> None:
    if not 0 < held_share < 0.5:
        raise UserError(f"language: held_share = {held_share:g} must be above 0 and below 0.5; validation and score each take that share.")  # fmt: skip
    if attack_share == 0:
        raise UserError("language: attack_share = 0 leaves an attacker nothing to train on.")


def _corpus(role: str, name: str, field: str, limit: int) -> Corpus:
    sample = generated(
        f"language:{role}:{limit}",
        lambda: ({"text": text} for text in sentences(role, limit or SENTENCES)),
    )
    return chosen("language", role, name, sample, field, limit)
