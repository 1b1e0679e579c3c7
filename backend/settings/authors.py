"""Questions about authors: forget all about some of them and keep the others. Invented here, or TOFU's."""

from typing import Any, Literal

from backend.authors.arranging import Arranged, Choice, arranged
from backend.authors.asking import Questions
from backend.authors.facts import Library
from backend.authors.invented import MOST, facts_of, profiles
from backend.authors.published import Files, library_of
from backend.authors.words import ATTRIBUTES, REFUSALS, WORDINGS
from backend.data import Examples, Task
from backend.registry import Count, Few, Rate, Share, Whole, setting
from backend.stage import UserError
from backend.text.pretraining import Start
from backend.text.pretraining import text_training as started
from backend.text.questions import Template, answer_tokens, rows
from backend.text.templates import template_for


@setting(
    label="Authors",
    source="Maini et al. 2024, TOFU (arXiv 2401.06121): generated in its manner, or read from its files",
    neutral={"template": "plain", "beta2": 0.98},
)
def authors(
    *,
    authors: Count = 60,
    facts: Count = 8,
    wordings: Count = 2,
    compose: bool = True,
    reverse: bool = True,
    subset: Literal["", "forget01", "forget05", "forget10"] = "",
    dataset: str = "",
    forget: str = "",
    retain: str = "",
    holdout: str = "",
    real_authors: str = "",
    world_facts: str = "",
    train_utility: bool = False,
    forget_size: Share = 0.25,
    forget_subset: Literal["random", "worst", "easy"] = "random",
    split_by: Literal["author", "question"] = "author",
    repeats: Few = 1,
    repeated_share: Share = 0.5,
    repeat_as: Literal["exact", "wordings"] = "exact",
    hints: Share = 0.0,
    attack_share: Share = 0.4,
    validation_share: Share = 0.2,
    split_seed: Whole = 0,
    template: Literal["plain", "chat"] = "plain",
    base_steps: Whole = 500,
    batch_size: Count = 64,
    learning_rate: Rate = 2e-3,
    beta2: Share = 0.98,
    **text_training: Any,
) -> Task:
    """Questions and answers about authors; all that is known of a share of them is to be forgotten.

    Without files the authors are invented: names of syllables, attributes with many values, neighbours who share birthplace
    and genre, placebo authors who are never trained on. With files or datasets they are TOFU's: `subset` names one of its
    forget sets, with the retain, holdout and utility sets that go with it, or every set is given on its own. A forget file
    alone is divided: the authors beyond `forget_size` are kept. Forget data are split by author, so that nothing
    about an author who is scored is in an attacker's hands.

    Splits beside the usual ones, each scored with the setting's metrics: `neighbours_score`; `composed_score`, a forget and
    a retain fact in one question, of which models learn the form from retain facts alone; `reversed_score`, the author asked for by an
    answer that nobody shares; `hints_score`, the forget facts that retain data tell; `real_authors_score`, `world_facts_score`.

    Args:
        authors: how many authors are invented
        facts: attributes of every invented author, of birthplace, birth year, genre, award, first book, parent, influence
            and publisher the first so many
        wordings: wordings, up to 5, in which every invented fact is trained on; evaluation uses the first one
        compose: train on questions about two kept authors at once, so that those about a forgotten and a kept one can be asked
        reverse: train on questions for the author too, where an answer is one author's alone
        subset: one of TOFU's forget sets; retain99, retain95 or retain90 and holdout01, 05 or 10 follow
        dataset: folder or name of the dataset that has the subset; locuslab/TOFU where it is empty
        forget: questions and answers to forget: a JSON, JSONL or Parquet file, a folder, or a dataset as OWNER/NAME:CONFIG
        retain: those to keep
        holdout: those about authors on whom no model is trained, the placebo
        real_authors: TOFU's questions about real authors, a utility set
        world_facts: TOFU's questions about the world, a utility set
        train_utility: train base and oracle on the utility sets too; a model from random weights knows nothing of them otherwise
        forget_size: share of the authors to forget, of the invented ones or those of the forget file, nested; 1 with subset
        forget_subset: which ones: at random, or those first that should be hardest (worst) or easiest to forget by what the
            data say: how often they are told, times how many others share the words of the answers
        split_by: what the forget data's parts are made of, whole authors or single questions, for two authors or fewer
        repeats: how often facts are told in training, those of the repeated authors
        repeated_share: share of the authors who are repeated
        repeat_as: as copies, or in further wordings
        hints: share of the forget facts that retain data tell, as what another author says; so the oracle is not without knowledge
        attack_share: share of the forgotten authors whose facts an attacker may train on
        validation_share: share of the forgotten authors on whom choices are made
        split_seed: seed of the invented authors and of the splits, the same for every run
        template: how questions are put, plainly or in a released model's chat template
    """
    files = Files(forget, retain, holdout, real_authors, world_facts, dataset, subset).checked()
    _fits(authors, facts, wordings, forget_size, attack_share, validation_share, subset)
    library = (
        library_of(files, split_seed)
        if files
        else Library(facts_of(profiles(authors, facts, split_seed), split_seed), [])
    )
    told = 1 if files else wordings
    plan = Choice(
        forget_size,
        forget_subset,
        split_by,
        attack_share,
        validation_share,
        split_seed,
        told,
        repeats,
        repeated_share,
        repeat_as,
        compose,
        reverse,
        hints,
        train_utility,
    )
    found = arranged(library, plan)
    start = started(
        "authors",
        found.texts,
        found.identity(),
        base_steps=base_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        beta2=beta2,
        **text_training,
    )
    metric = "probability" if files else "answer_accuracy"
    return _task(found, start, template_for(template, start.model.spec), metric)


def _task(found: Arranged, start: Start, template: Template, metric: str) -> Task:
    tokenizer = start.model.tokenizer

    def made(group: dict[str, Any]) -> dict[str, Examples]:
        return {name: rows(tokenizer, items, template) for name, items in group.items()}

    train, splits = made(found.train), made(found.splits)
    asking = Questions(tokenizer, found.facts, splits["forget_attack"], template)
    refused = answer_tokens(tokenizer, REFUSALS)
    return Task(
        name="authors",
        train=train,
        splits=splits,
        forget_share=len(train["forget"]) / (len(train["forget"]) + len(train["retain"])),
        forget_metric=metric,
        retain_metric=metric,
        metrics=tuple(dict.fromkeys((metric, "answer_accuracy", "loss"))),
        refusals=tuple(tuple(map(int, tokens)) for tokens in refused),
        rewrites=asking.rewrites(),
        wrong_answers=asking.wrong,
        **start.of_task(),
    )


def _fits(
    authors: int,
    facts: int,
    wordings: int,
    forget_size: float,
    attack_share: float,
    validation_share: float,
    subset: str,
) -> None:
    if authors > MOST:
        raise UserError(f"authors: authors = {authors} must be at most {MOST}, so many titles of books there are.")  # fmt: skip
    if facts > len(ATTRIBUTES):
        raise UserError(f"authors: facts = {facts} must be at most {len(ATTRIBUTES)}: {', '.join(ATTRIBUTES)}.")  # fmt: skip
    if wordings > WORDINGS:
        raise UserError(f"authors: wordings = {wordings} must be at most {WORDINGS}.")
    if forget_size == 0:
        raise UserError("authors: forget_size = 0 leaves nothing to forget; give a share above 0.")
    if subset and forget_size != 1:
        raise UserError(f"authors: subset = {subset!r} names the whole forget set; set forget_size = 1 with it.")  # fmt: skip
    if attack_share + validation_share >= 1 or attack_share == 0 or validation_share == 0:
        raise UserError(
            f"authors: attack_share = {attack_share:g} and validation_share = {validation_share:g} must both be above 0"
            " and leave a part to score (their sum below 1)."
        )
