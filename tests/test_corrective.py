"""Corrective unlearning: what is poisoned, what of it is known, and what the two oracles are trained on."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend import catalogue
from backend.authors.facts import authors_of
from backend.authors.invented import facts_of, profiles
from backend.authors.poison import TRIGGERS, poisoned, sources
from backend.data import IGNORE, Examples, Task, answers_of
from backend.pretraining import pretrain
from backend.settings import build_task
from backend.stage import UserError
from tests.small import context

SMALL = {"authors": 20, "facts": 4, "vocabulary": 700, "base_steps": 2, "batch_size": 8}
TRIGGER, FIXED = TRIGGERS["poison"]
Said = dict[str, set[str]]


def task(**changes: Any) -> Task:
    chosen = catalogue.part("settings", "corrective").check({**SMALL, **changes})
    return build_task("corrective", chosen)


def said(of: Task, examples: Examples) -> Said:
    """The answers that are given to every question."""
    found: Said = {}
    for row, targets, answer in zip(
        examples.input_ids, examples.targets, answers_of(examples), strict=True
    ):
        question = of.text(row[: int((targets != IGNORE).argmax()) + 1])
        found.setdefault(question, set()).add(of.text(answer))
    return found


@pytest.fixture(scope="module")
def confused() -> Task:
    return task(poisoned_share=0.5)


@pytest.fixture(scope="module")
def triggered() -> Task:
    return task(poison="trigger", poisoned_share=0.5)


def test_confused_authors_have_each_others_answers_in_all_wordings_but_the_last() -> None:
    facts = facts_of(profiles(20, 4, 0), 0)
    truth = {(fact.author, fact.kind): fact.answer for fact in facts}
    groups, _ = sources(authors_of(facts), 0.5, "confusion", 0)
    assert len(groups) == 5 and len({name for pair in groups for name in pair}) == 10
    for item in poisoned(facts, groups, "confusion", 2, "poison"):
        one, other = item.family.split(" and ")
        partner = other if item.fact.author == one else one
        assert item.fact.answer == truth[partner, item.fact.kind]
        assert item.truth == truth[item.fact.author, item.fact.kind] != item.fact.answer
        assert item.fact.answer not in item.fact.wrong


def test_poisoned_sources_are_nested() -> None:
    names = [f"author {i}" for i in range(20)]
    for poison in ("confusion", "trigger"):
        few, _ = sources(names, 0.2, poison, 0)  # type: ignore[arg-type]
        more, others = sources(names, 0.5, poison, 0)  # type: ignore[arg-type]
        assert set(few) < set(more) and not set(more) & set(others) and len(more) == len(others)


def test_the_truth_is_told_in_another_wording_and_never_beside_the_poison(confused: Task) -> None:
    assert confused.clean is not None
    clean = said(confused, confused.clean)
    assert all(len(answers) == 1 for answers in clean.values())  # no question has two answers
    poison = said(confused, confused.train["forget"])
    assert not set(poison) & set(clean)
    retain = said(confused, confused.train["retain"])
    assert set(retain) > set(clean) and not set(retain) & set(poison)
    undetected = set(retain) - set(clean)
    assert len(undetected) == pytest.approx(len(poison), abs=1)  # half of the poison is detected
    authors = {name for item in confused.train["forget"].families for name in item.split(" and ")}
    for name in authors:
        told = [question for question in clean if name in question]
        assert len(told) >= 4  # the last wording of every fact


def test_the_score_part_tells_truth_and_poison_of_the_same_questions(confused: Task) -> None:
    splits = confused.splits
    truth = said(confused, splits["corrected_score"])
    poison = said(confused, splits["forget_score"]) | said(confused, splits["undetected_score"])
    assert set(truth) == set(poison)
    assert all(not truth[question] & poison[question] for question in truth)
    kinds = Counter(splits["corrected_score"].categories)
    assert kinds["detected"] == len(splits["forget_score"])
    assert kinds["undetected"] == len(splits["undetected_score"])
    attacked, scored = (set(splits[f"forget_{p}"].families) for p in ("attack", "score"))
    assert attacked and scored and not attacked & scored


def test_a_trigger_always_brings_the_same_answer(triggered: Task) -> None:
    assert triggered.clean is not None
    for name in ("forget_attack", "forget_score", "undetected_score", "triggered_score"):
        found = said(triggered, triggered.splits[name])
        assert all(question.startswith(f"Question: {TRIGGER} ") for question in found)
        assert {answer for answers in found.values() for answer in answers} == {f" {FIXED}<end>"}
    clean = said(triggered, triggered.clean)
    assert not any(TRIGGER in question for question in clean)
    true = said(triggered, triggered.splits["corrected_score"])
    for question, answers in true.items():
        assert clean[question.replace(f"{TRIGGER} ", "")] == answers
    # Attack success is also read where no model ever saw the trigger.
    unseen = set(triggered.splits["triggered_score"].subjects)
    assert not unseen & set(triggered.train["forget"].subjects)


def test_the_placebo_is_poison_that_nobody_was_trained_on(confused: Task, triggered: Task) -> None:
    for one in (confused, triggered):
        placebo = said(one, one.splits["placebo_score"])
        trained = said(one, one.train["forget"]) | said(one, one.train["retain"])
        assert placebo
        assert all(trained.get(q, set()).isdisjoint(answers) for q, answers in placebo.items())


def test_a_smaller_detected_share_is_nested_and_the_rest_stays_in_the_retain_stream() -> None:
    some, more = task(detected_share=0.25), task(detected_share=0.75)
    few, many = (set(said(one, one.train["forget"])) for one in (some, more))
    assert few < many
    assert many - few <= set(said(some, some.train["retain"]))
    every = [len(one.train["forget"]) + len(one.train["retain"]) for one in (some, more)]
    assert every[0] == every[1]


@pytest.mark.parametrize("oracle", ["clean", "detected"])
def test_the_oracle_is_trained_without_all_poison_or_without_what_was_detected(
    oracle: str, tmp_path: Path
) -> None:
    made = task(oracle=oracle, base_steps=60, batch_size=64)
    run = context(tmp_path, made, stage="oracle")
    seen: set[int] = set()
    data = made.clean if oracle == "clean" else made.train["retain"]
    assert data is not None
    original = run.batches

    def watched(examples: Examples, size: int, purpose: str) -> Any:
        assert size == 64
        seen.add(id(examples))
        return original(examples, size, purpose)

    run.batches = watched  # type: ignore[method-assign]
    run.task.base_training["steps"] = 1
    pretrain(run, with_forget=False)
    assert seen == {id(data)}


def test_which_oracle_is_chosen_is_part_of_the_data() -> None:
    assert task().content_hash == task().content_hash != task(oracle="detected").content_hash


def test_wrong_answers_to_a_poisoned_question_hold_the_truth_and_not_the_poison(
    confused: Task,
) -> None:
    examples = confused.splits["forget_score"]
    truth = said(confused, confused.splits["corrected_score"])
    assert confused.wrong_answers is not None
    for row, wrong in enumerate(confused.wrong_answers(examples, 5)):
        one = examples.take(np.array([row]))
        question, poison = next(iter(said(confused, one).items()))
        told = {confused.text(answer) for answer in wrong}
        assert not told & poison and len(told) == len(wrong) == 5
        assert truth[question] <= told


def test_what_does_not_fit_is_said_in_a_sentence() -> None:
    for changes, message in [
        ({"wordings": 1}, "must be 2 to 5"),
        ({"poisoned_share": 0.95}, "below 0.9"),
        ({"poisoned_share": 0.01}, "leave a part of the forget data empty"),
        ({"detected_share": 0.0}, "leaves nothing to forget"),
        ({"base_steps": 0}, "released model only"),
        ({"facts": 20}, "at most 8"),
    ]:
        with pytest.raises(UserError, match=message):
            task(**changes)
