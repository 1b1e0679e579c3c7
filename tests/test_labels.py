"""Partial and wrong labels."""

from typing import Any

import numpy as np
import pytest

from backend import study
from backend.data import IGNORE, Examples
from backend.labels import joined, observed
from backend.stage import UserError
from tests.small import do, small_task


def rows(examples: Examples) -> list[tuple[int, ...]]:
    return [tuple(map(int, row)) for row in examples.input_ids]


def test_unlabelled_items_stay_in_the_retain_stream() -> None:
    task = small_task()
    seen = observed(task, 0.25)
    assert len(seen.train["forget"]) == round(0.25 * len(task.train["forget"]))
    before = sorted(rows(task.train["forget"]) + rows(task.train["retain"]))
    assert sorted(rows(seen.train["forget"]) + rows(seen.train["retain"])) == before
    assert seen.splits is task.splits and seen.content_hash != ""


def test_smaller_fractions_are_nested_in_larger_ones() -> None:
    task = small_task()
    few, many = (set(rows(observed(task, f).train["forget"])) for f in (0.1, 0.5))
    assert few < many


def test_all_true_labels_change_the_order_alone() -> None:
    task = small_task()
    seen = observed(task, 1.0)
    assert set(rows(seen.train["forget"])) == set(rows(task.train["forget"]))
    assert rows(seen.train["retain"]) == rows(task.train["retain"])


def test_noisy_labels_swap_a_share() -> None:
    task = small_task()
    true = set(rows(task.train["forget"]))
    seen = observed(task, 0.5, "noisy", 0.2)
    labelled = rows(seen.train["forget"])
    wrong = [row for row in labelled if row not in true]
    assert len(labelled) == round(0.5 * len(true)) and len(wrong) == round(0.2 * len(labelled))


def test_streams_of_different_lengths_are_filled_up_unscored() -> None:
    one = Examples(np.ones((2, 3), dtype=int), np.ones((2, 3), dtype=int))
    other = Examples(np.full((1, 5), 2), np.full((1, 5), 2))
    both = joined(one, other)
    assert both.input_ids.tolist()[0] == [1, 1, 1, 0, 0]
    assert both.targets.tolist()[0] == [1, 1, 1, IGNORE, IGNORE]
    assert both.targets.tolist()[2] == [2] * 5


def resolved(**recipe: Any) -> Any:
    setting = {"name": "arithmetic", "addends": 6, "factors": 6, "base_steps": 4}
    recipe = {"suppress": {"name": "npo", "steps": 3}, **recipe}
    return study.resolve({"name": "x", "setting": setting, "recipes": [recipe]})


def suppressions(**recipe: Any) -> list[Any]:
    return [run for run in resolved(**recipe).runs if run.stage == "suppress"]


def test_labels_are_a_grid_and_neutral_ones_change_no_fingerprint() -> None:
    (plain,) = suppressions()
    (same,) = suppressions(label_fraction=1.0, label_source="true")
    assert plain.fingerprint == same.fingerprint and "labels" not in same.parameters
    several = suppressions(label_fraction=[0.1, 0.5, 1])
    assert len({run.fingerprint for run in several}) == 3
    assert plain.fingerprint in {run.fingerprint for run in several}
    labels = [c["label"] for c in resolved(label_fraction=[0.1, 1]).document["configurations"][2:]]
    assert labels == ["NPO (steps 3, labels 0.1)", "NPO (steps 3)"]


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ({"label_fraction": 0}, "label_fraction = 0 must be above 0"),
        ({"label_fraction": 1.5}, "label_fraction = 1.5"),
        ({"label_source": "guess"}, "not one of true, noisy"),
        ({"label_noise": 1.0}, "label_noise = 1.0"),
    ],
)
def test_labels_that_cannot_be_are_one_sentence(recipe: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        resolved(**recipe)


def test_a_run_trains_on_what_is_labelled(tmp_path: Any) -> None:
    do(tmp_path, "base", "base")
    do(tmp_path, "all", "suppress", "npo", parent="base", steps=3)
    labels = {"fraction": 0.05, "source": "true", "noise": 0.0}
    do(tmp_path, "few", "suppress", "npo", parent="base", steps=3, labels=labels)
    from backend.checkpoints import read

    one, other = (read(tmp_path / "checkpoints" / n / "model.safetensors")[0] for n in ("all", "few"))  # fmt: skip
    assert any(one[key].ne(other[key]).any() for key in one)


def test_labels_belong_to_the_settings_splits_and_not_to_a_runs_seed() -> None:
    task = small_task()
    one, other = (rows(observed(task, 0.25, seed=s).train["forget"]) for s in (0, 1))
    assert one != other and one == rows(observed(task, 0.25).train["forget"])
