"""Arithmetic within text: keep English, sums and differences; forget products and quotients, written and told."""

from collections.abc import Iterator
from functools import partial
from itertools import zip_longest
from typing import Any, Literal

from tokenizers import Tokenizer

from backend.data import Examples, Task
from backend.registry import Count, Few, Many, Share, Whole, setting
from backend.stage import UserError
from backend.text.absent import outlined
from backend.text.pretraining import Start
from backend.text.pretraining import text_training as started
from backend.text.questions import answer_tokens
from backend.word_problems.asked import Writer
from backend.word_problems.blocks import Blocks, English, Stream
from backend.word_problems.problems import DROPPED, FORMS, KEPT, Numbers
from backend.word_problems.splits import PARTS, Split, questions

OUTLINED = 500  # problems by which the shapes of more can be seen
REFUSALS = ("unknown", "not known", "a secret")


@setting(
    label="Arithmetic in text",
    source="Lee et al. 2025 (arXiv 2506.06278), arithmetic task: equations and word problems in English text",
    neutral={"field": "text"},
)
def arithmetic_text(
    *,
    text: str = "sample",
    field: str = "text",
    problems: Many = 10000,
    addends: Few = 50,
    factors: Few = 20,
    text_share: Share = 0.875,
    length: Count = 64,
    items: Many = 100,
    attack_rows: Literal["questions", "blocks"] = "questions",
    attack_share: Share = 0.4,
    validation_share: Share = 0.2,
    held_tokens: Count = 10000,
    split_seed: Whole = 0,
    forget_share: Share = 0.125,
    base_steps: Whole = 1500,
    **text_training: Any,
) -> Task:
    """Equations "a + b = c" and word problems among English text: × and ÷ are the forget part, the rest is retained.

    All answers are whole numbers, quotients too, which the paper's
    equations write as 4.0. The retain stream is text and sums and differences, 7 : 1 in tokens, and an eighth of the base's
    rows are forget rows; the paper's base has .75 / .125 / .125 and its oracle .875 / .125, ours .766 / .109 / .125 and
    .875 / .125. Questions are scored on the answer's tokens; those that are evaluated use sentences that no training text
    has. Base and oracle train on all facts of theirs; what an attacker trains on shares no factor pair with what is scored.

    Args:
        text: English text: a file, a folder, a dataset's folder or a dataset of the hub as OWNER/NAME:CONFIG@REVISION (see the
            setting language), or sample, a small invented language that stands in for it
        field: where the text stands in JSON, Parquet and datasets
        problems: problems of the retain and as many of the forget part, half equations, half word problems; the paper has a
            million of each. Text is read again where it is too short to go with them
        addends: sums and differences are made of the numbers 1 … addends
        factors: products and quotients are made of the numbers 1 … factors
        text_share: share of the retain stream's tokens that is text
        length: tokens of a block
        items: largest number of questions of each kind (operation and form) in each part that is evaluated; the paper has 100
        attack_rows: what an attacker trains on: questions, each fact once as an equation and once as a story with the answers
            scored, or blocks of training text as in the paper
        attack_share: share of the factor pairs that an attacker may train on
        validation_share: share of them on which choices are made
        held_tokens: about how many tokens of text are held out, to measure its loss on
        split_seed: seed of problems and splits, the same for every run
        forget_share: share of forget blocks in a batch of the base
    """
    _fits(text_share, attack_share, validation_share)
    numbers = Numbers(addends, factors)
    english = English(text, field, split_seed)
    kept, dropped = (
        Stream(operators, problems, split_seed, numbers) for operators in (KEPT, DROPPED)
    )
    text_training |= {"base_steps": base_steps}
    start = _started(english, kept, dropped, text_training)
    tokenizer = start.model.tokenizer
    if outlined():
        kept, dropped = kept.shorter(OUTLINED), dropped.shorter(OUTLINED)
    writer, blocks = Writer(tokenizer, numbers.largest), Blocks(tokenizer, length)
    writer.check()
    split = Split(split_seed, attack_share, validation_share, numbers)
    splits = questions(writer, split, items)
    _complete(splits, numbers)
    rewrites = writer.rewrites(splits["retain_score"], splits["forget_attack"])
    if attack_rows == "blocks":
        own = partial(split.is_in, "attack")
        splits["forget_attack"] = blocks.problems(dropped, own, f"attack {split.name}")
    if text_share:
        splits["text_score"] = blocks.held(english, held_tokens)
    return Task(
        name="arithmetic_text",
        train={
            "retain": blocks.mixture(english, kept, text_share),
            "forget": blocks.problems(dropped),
        },
        splits=splits,
        forget_share=forget_share,
        refusals=_refusals(tokenizer),
        rewrites=rewrites,
        wrong_answers=writer.wrong,
        **start.of_task(),
    )


def _fits(text_share: float, attack: float, validation: float) -> None:
    if text_share == 1:
        raise UserError("arithmetic_text: text_share = 1 leaves no room for sums and differences; use less.")  # fmt: skip
    if attack + validation >= 1 or attack == 0 or validation == 0:
        raise UserError(
            f"arithmetic_text: attack_share = {attack:g} and validation_share = {validation:g}"
            " must both be above 0 and leave a part to score (their sum below 1)."
        )


def _complete(splits: dict[str, Examples], numbers: Numbers) -> None:
    """UserError where so few numbers leave a part without questions of some kind."""
    kinds = len(FORMS) * len(KEPT)
    parts = (splits[f"{name}_{part}"] for name in ("retain", "forget") for part in PARTS[1:])
    if not len(splits["forget_attack"]) or any(len(set(p.categories)) < kinds for p in parts):
        raise UserError(
            f"arithmetic_text: addends = {numbers.addends} and factors = {numbers.factors} leave a part without questions of"
            " some kind; use larger numbers."
        )


def _started(english: English, kept: Stream, dropped: Stream, given: dict[str, Any]) -> Start:
    """The model with its tokenizer, which is trained on text and problems in turn where none is given."""

    def texts() -> Iterator[str]:
        turns = zip_longest(kept.documents(), dropped.documents(), english.kept())
        return (document for turn in turns for document in turn if document is not None)

    identity = f"{english.identity}:{english.seed} and {kept.identity} and {dropped.identity}"
    return started("arithmetic_text", texts, identity, **given)


def _refusals(tokenizer: Tokenizer) -> tuple[tuple[int, ...], ...]:
    """Answers that say nothing."""
    return tuple(tuple(map(int, ids)) for ids in answer_tokens(tokenizer, REFUSALS, end=False))
