"""Two languages, or any two kinds of text: keep the one, forget the other."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any
from zlib import crc32

from backend.data import Examples, Task
from backend.language_model import LanguageModel
from backend.language_model import language_model as chosen_model
from backend.registry import Count, Rate, Share, Whole, setting
from backend.stage import UserError
from backend.text.absent import is_outlining
from backend.text.languages import sentences
from backend.text.packing import packed
from backend.text.pretraining import base_training, first_rows
from backend.text.sources import Source, source

SAMPLE = "sample"
SENTENCES = 12000  # of each of the two invented languages
PARTS = ("train", "validation", "score")


@setting(
    label="Language",
    source="Lee et al. 2025 (arXiv 2506.06278), language task: English kept, Korean forgotten",
    neutral={
        "field": "text",
        "limit": 0,
        "accumulate": 1,
    },
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
    base_steps: Whole = 800,
    batch_size: Count = 32,
    accumulate: Count = 1,
    forget_share: Share = 0.5,
    learning_rate: Rate = 3e-3,
    final_share: Share = 0.1,
    warmup: Whole = 50,
    weight_decay: Share = 0.1,
    **language_model: Any,
) -> Task:
    """Two sources of text, packed into blocks: the base reads both, the oracle only what is kept; losses on held-out text.

    A source is a text file (documents are what stands between blank lines, else the lines), a JSON, JSONL or Parquet file,
    a folder of those, a dataset's folder, or a dataset of the hub as OWNER/NAME:CONFIG@REVISION; `sample` names a small
    invented language.

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
        base_steps: training steps of base and oracle; 0 takes a released model as it is, without an oracle
        batch_size: blocks of a batch of base and oracle
        accumulate: batches whose gradients make up one step of theirs
        forget_share: share of forget blocks in a batch of the base
        learning_rate: peak rate of base and oracle
        final_share: share of that rate that is left at the end of the cosine
        warmup: steps over which the rate rises
        weight_decay: weight decay of base and oracle
    """
    _fits(held_share, attack_share)
    sources = {"retain": _source("keep", keep, field), "forget": _source("forget", forget, field)}

    def texts() -> Iterable[str]:
        return chain.from_iterable(_documents(one, limit) for one in sources.values())

    identity = f"{[one.identity for one in sources.values()]}:{limit}"
    model = chosen_model(texts, identity, **language_model)
    trained = base_training(
        "language",
        model,
        base_steps=base_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        final_share=final_share,
        warmup=warmup,
        weight_decay=weight_decay,
    )
    parts = {
        f"{name}_{part}": blocks
        for name, one in sources.items()
        for part, blocks in _blocks(
            one, name, limit, length, model, _Held(split_seed, held_share, held_tokens)
        ).items()  # fmt: skip
    }
    train = {name: parts.pop(f"{name}_train") for name in sources}
    parts["forget_attack"] = first_rows(train["forget"], attack_share)
    return Task(
        name="language",
        base_training=trained | {"accumulate": accumulate},
        train=train,
        splits=parts,
        forget_share=forget_share,
        forget_metric="loss",
        retain_metric="loss",
        metrics=("loss",),
        anchor="oracle" if base_steps else "floor",
        **model.of_task(),
    )


def _fits(held_share: float, attack_share: float) -> None:
    if not 0 < held_share < 0.5:
        raise UserError(f"language: held_share = {held_share:g} must be above 0 and below 0.5; validation and score each take that share.")  # fmt: skip
    if attack_share == 0:
        raise UserError("language: attack_share = 0 leaves an attacker nothing to train on.")


def _source(role: str, name: str, field: str) -> Source:
    if not name:
        raise UserError(
            f"language: {role} is empty; give a text, JSON or Parquet file, a folder of those, a dataset of the hub, or"
            f" {SAMPLE!r} for a small invented language."
        )
    return Source(f"{SAMPLE}:{role}") if name == SAMPLE else source(name, field)


def _documents(one: Source, limit: int) -> Iterator[str]:
    found = (
        sentences(one.name.partition(":")[2], SENTENCES)
        if one.name.startswith(f"{SAMPLE}:")
        else one.documents()
    )
    return islice(found, limit or None)


@dataclass(frozen=True)
class _Held:
    """Which part a document goes to, by its number alone until the held-out parts are full."""

    seed: int
    share: float
    tokens: int

    def part(self, name: str, number: int, sizes: Mapping[str, int]) -> str:
        draw = crc32(f"{self.seed}/{name}/{number}".encode()) / 2**32
        wanted = "validation" if draw < self.share else "score" if draw < 2 * self.share else ""
        return wanted if wanted and sizes[wanted] < self.tokens else "train"


def _blocks(
    one: Source, name: str, limit: int, length: int, model: LanguageModel, held: _Held
) -> dict[str, Examples]:
    identity = f"{one.identity}:{name}:{limit}:{held}"
    blocks = packed(
        lambda: _documents(one, limit),
        identity,
        model.tokenizer,
        length,
        PARTS,
        partial(held.part, name),
    )
    for part, found in blocks.items():
        if not len(found) and is_outlining() and part != "train":
            blocks[part] = first_rows(blocks["train"], 0.1)
        elif not len(found):
            raise UserError(
                f"language: {one.name} has too little text: nothing is left for its part {part!r};"
                " give more text or a larger held_share."
            )
    return blocks
