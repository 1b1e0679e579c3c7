"""The arithmetic setting: what is kept, what is forgotten, and that nothing leaks between the parts."""

import itertools

import numpy as np
import pytest

from backend.data import IGNORE, unigram_floor
from backend.settings.arithmetic import arithmetic
from backend.stage import UserError


def rows(examples) -> set[tuple[int, ...]]:
    return {tuple(row) for row in examples.input_ids.tolist()}


def test_the_quick_size_has_the_numbers_of_the_design() -> None:
    task = arithmetic()
    assert len(task.train["retain"]) == 1800
    assert len(task.train["forget"]) == 800


@pytest.mark.parametrize("target", ["forget", "placebo"])
def test_no_family_is_in_two_parts(target: str) -> None:
    task = arithmetic()
    parts = [task.splits[f"{target}_{part}"] for part in ("attack", "validation", "score")]
    for one, other in itertools.combinations(parts, 2):
        assert not set(one.families) & set(other.families)
    assert sum(len(part) for part in parts) == len(task.train["forget"])


def test_forget_and_retain_never_overlap_and_placebo_is_never_trained() -> None:
    task = arithmetic()
    retain, forget = rows(task.train["retain"]), rows(task.train["forget"])
    placebo = rows(task.splits["placebo_score"]) | rows(task.splits["placebo_attack"])
    assert not retain & forget
    assert not placebo & (retain | forget)


def test_every_fact_is_true_and_no_operand_of_times_and_over_is_zero() -> None:
    task = arithmetic()
    for row, target in zip(
        task.train["forget"].input_ids, task.train["forget"].targets, strict=True
    ):
        left, operator, right = (task.words[i] for i in row[:3])
        answer = int(task.words[target[-1]])
        assert int(left) and int(right)
        expected = int(left) * int(right) if operator == "×" else int(left) // int(right)
        assert answer == expected


def test_placebo_answers_are_those_of_the_forget_facts_in_another_order() -> None:
    task = arithmetic()
    for part in ("attack", "validation", "score"):
        placebo = task.splits[f"placebo_{part}"].targets[:, -1]
        forget = task.splits[f"forget_{part}"].targets[:, -1]
        assert sorted(placebo) == sorted(forget)


def test_the_split_does_not_depend_on_sizes_of_training() -> None:
    assert arithmetic().content_hash == arithmetic(base_steps=3).content_hash
    assert arithmetic().content_hash != arithmetic(split_seed=1).content_hash


def test_the_floor_of_a_loss_is_the_unigrams_cross_entropy() -> None:
    task = arithmetic()
    counts = np.ones(len(task.words))
    seen = task.base_training["steps"] * 128
    for part in task.train.values():
        for answer in part.targets[:, -1]:
            counts[answer] += seen / len(part)
    scored = task.splits["forget_score"].targets[:, -1]
    expected = -np.mean([np.log(counts[a] / counts.sum()) for a in scored])
    assert unigram_floor(task, "forget_score") == pytest.approx(expected)
    assert (task.splits["forget_score"].targets[:, :-1] == IGNORE).all()


def test_an_empty_forget_part_is_refused() -> None:
    with pytest.raises(UserError, match="factors = 1"):
        arithmetic(factors=1)
    with pytest.raises(UserError, match="attack_share"):
        arithmetic(attack_share=0.9, validation_share=0.1)


def test_smaller_forget_sets_are_nested_and_the_rest_is_kept() -> None:
    whole, half, few = (arithmetic(factors=10, forget_size=size) for size in (1.0, 0.5, 0.1))
    assert rows(few.train["forget"]) < rows(half.train["forget"]) < rows(whole.train["forget"])
    everything = rows(whole.train["forget"]) | rows(whole.train["retain"])
    for task in (half, few):
        assert not rows(task.train["forget"]) & rows(task.train["retain"])
        assert rows(task.train["forget"]) | rows(task.train["retain"]) == everything
        assert task.forget_share == len(task.train["forget"]) / len(everything)
        assert "×" in task.splits["retain_score"].categories


def test_every_form_is_an_item_of_training_and_one_is_evaluated() -> None:
    plain, many = arithmetic(factors=8, addends=8), arithmetic(factors=8, addends=8, forms=3)
    assert len(many.train["forget"]) == 3 * len(plain.train["forget"])
    assert len(many.splits["forget_score"]) == len(plain.splits["forget_score"])
    written = [many.text(row) for row in many.train["forget"].input_ids]
    assert len(set(written)) == len(written)
    assert {text.split()[0] for text in written} == {"form1:", "form2:", "form3:"}
    score = many.splits["forget_score"]
    assert {many.text(row).split()[0] for row in score.input_ids} == {"form1:"}
    by_fact = {tuple(row[1:]): target[-1] for row, target in zip(many.train["forget"].input_ids, many.train["forget"].targets, strict=True)}  # fmt: skip
    assert all(by_fact[tuple(row[1:])] == target[-1] for row, target in zip(score.input_ids, score.targets, strict=True))  # fmt: skip


def test_too_small_a_forget_set_is_refused() -> None:
    with pytest.raises(UserError, match="forget_size = 0.01"):
        arithmetic(factors=6, forget_size=0.01)
