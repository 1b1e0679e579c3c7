"""The language setting: a base that reads both texts, an oracle that reads one, and losses that count tokens."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend import checkpoints
from backend.batches import Loader
from backend.data import IGNORE, Examples, Task, unigram_floor
from backend.evaluation import LOGITS, evaluate, mean_of, rows_at_once, score
from backend.labels import observed
from backend.settings import build_task, outlined_task
from backend.stage import UserError
from backend.study import resolve
from tests.small import context, do

SMALL = {
    "keep": "sample",
    "forget": "sample",
    "limit": 800,
    "length": 16,
    "vocabulary": 400,
    "base_steps": 60,
    "batch_size": 16,
    "warmup": 5,
    "held_tokens": 400,
}
ROOT = Path(__file__).parent.parent


def task(**changes: Any) -> Task:
    return build_task("language", {**SMALL, **changes})


def run(home: Path, *given: Any, **more: Any) -> Any:
    return do(home, *given, task_name="language", changes=SMALL, **more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("trained")
    for stage in ("base", "oracle"):
        run(home, stage, stage)
    return home


def loss_of(home: Path, name: str, split: str) -> float:
    made = context(home, task())
    model = checkpoints.load_model(home, name, made.fresh_model())
    return mean_of(evaluate(model, made.task, split, made.loader(made.task.splits[split])), "loss")


def test_no_held_out_document_is_trained_on_and_the_parts_are_those_of_every_seed() -> None:
    made = task()
    assert set(made.splits) == {
        f"{name}_{part}" for name in ("retain", "forget") for part in ("validation", "score")
    } | {"forget_attack"}
    for part in ("validation", "score"):
        assert 399 <= int((made.splits[f"forget_{part}"].targets != IGNORE).sum()) < 440
    texts = {name: made.text(part.input_ids.reshape(-1)) for name, part in made.splits.items()}
    train = made.text(made.train["forget"].input_ids.reshape(-1)).split("<end>")
    held = set(texts["forget_score"].split("<end>")[1:-1])
    assert len(held) > 30 and len(held & set(train)) < len(held) / 2  # short sentences do repeat
    assert task().content_hash == made.content_hash != task(split_seed=1).content_hash


def test_the_attack_part_is_the_share_of_the_training_text_that_is_asked_for() -> None:
    half = task(attack_share=0.5)
    rows, known = half.train["forget"], half.splits["forget_attack"]
    assert len(known) == round(len(rows) / 2)
    assert np.array_equal(known.input_ids, rows.input_ids[: len(known)])


def test_without_text_it_says_what_to_give() -> None:
    with pytest.raises(UserError, match="keep is empty; give a text, JSON, JSONL or Parquet file"):
        build_task("language", {})
    with pytest.raises(UserError, match="forget is empty"):
        build_task("language", {"keep": "sample"})
    for changes, message in (
        ({"held_share": 0.5}, "held_share = 0.5"),
        ({"attack_share": 0.0}, "attack_share = 0"),
        ({"batch_size": 1}, "batch_size = 1"),
        ({"base_steps": 0}, "base_steps = 0 trains nothing"),
        ({"limit": 3}, "too little text"),
    ):
        with pytest.raises(UserError, match=message):
            task(**changes)


def test_the_base_learns_both_languages_and_the_oracle_one(trained: Path) -> None:
    floor = unigram_floor(task(), "forget_score")
    assert loss_of(trained, "base", "forget_score") < floor - 0.5
    assert loss_of(trained, "oracle", "forget_score") > floor
    assert loss_of(trained, "oracle", "retain_score") < loss_of(trained, "base", "retain_score")


def test_a_loss_counts_every_token_once_however_long_its_row_is(trained: Path) -> None:
    made = context(trained, task())
    model = checkpoints.load_model(trained, "base", made.fresh_model())
    part = made.task.splits["retain_score"]
    assert (part.targets[-1] == IGNORE).any(), "the last block should be a short one"
    (row,) = (
        r for r in evaluate(model, made.task, "retain_score", made.loader(part)) if not r.category
    )
    logits = model(torch.from_numpy(np.array(part.input_ids, dtype=np.int64))).logits.detach()
    targets = torch.from_numpy(np.array(part.targets, dtype=np.int64))
    wanted = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    assert row.value == pytest.approx(float(wanted), abs=1e-5)
    assert row.count == len(part) and row.standard_error and row.items is not None
    counts = (part.targets != IGNORE).sum(axis=1)
    assert np.average(row.items, weights=counts) == pytest.approx(row.value, abs=1e-5)


def test_passes_take_as_many_rows_as_keep_the_logits_small(trained: Path) -> None:
    made = context(trained, task())
    model = checkpoints.load_model(trained, "base", made.fresh_model())
    loader = made.loader(made.task.splits["forget_score"])
    whole = score(model, loader)
    model.config.vocab_size = LOGITS // (16 * 7)  # so that seven rows fit
    assert rows_at_once(model, loader) == 7
    some = score(model, loader)
    np.testing.assert_allclose(some.loss, whole.loss, rtol=1e-5)


def test_large_data_stay_on_disk_but_for_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    part = task().train["forget"]
    held = Loader(part, torch.device("cpu"))
    monkeypatch.setattr("backend.batches.RESIDENT", 10)
    read = Loader(part, torch.device("cpu"))
    assert held.resident and not read.resident
    for indices in (np.array([3, 0, len(part) - 1]), slice(2, 6)):
        one, other = held.batch(indices), read.batch(indices)
        assert torch.equal(one.input_ids, other.input_ids) and torch.equal(
            one.targets, other.targets
        )
        assert (one.chosen is None) == (other.chosen is None)


CHILD = """
import json, os, signal, sys
from pathlib import Path
import torch
import backend.recipe, backend.training
from tests.small import do
from tests.test_language import SMALL
torch.set_num_threads(1)
backend.recipe.KEEP_SECONDS = 0.0
keep = backend.training._keep

def kept(loop):
    keep(loop)
    if loop.step == 10:
        os.kill(os.getpid(), signal.SIGKILL)

backend.training._keep = kept
home, name, stage, part, given = sys.argv[1:]
do(Path(home), name, stage, part, task_name="language", changes=SMALL, **json.loads(given))
"""


def killed_half_way(home: Path, name: str, stage: str, part: str, given: dict[str, Any]) -> None:
    """Do the run in a process of its own that is killed once it has kept the state of its tenth step."""
    words = [sys.executable, "-c", CHILD, str(home), name, stage, part, json.dumps(given)]
    assert subprocess.run(words, cwd=ROOT).returncode == -signal.SIGKILL
    assert checkpoints.resume_step(home, name) == 10


@pytest.mark.parametrize(
    ("stage", "name", "parent", "parameters"),
    [
        ("base", "base", None, {}),
        ("suppress", "max_ent", "base", {"steps": 40, "batch_size": 8}),
        (
            "robustify",
            "undo",
            "base",
            {"steps": 60, "retain_batch": 8, "forget_batch": 8, "tolerance": 0},
        ),
        ("attack", "relearn", "base", {"steps": 60, "batch_size": 8, "evaluate_every": 20}),
    ],
)
def test_a_run_that_was_killed_goes_on_bit_for_bit(
    trained: Path, stage: str, name: str, parent: str | None, parameters: dict[str, Any]
) -> None:
    given = {"parent": parent, **parameters}
    torch.set_num_threads(1)
    _, whole = run(trained, f"whole{stage}", stage, name, **given)
    killed_half_way(trained, f"parts{stage}", stage, name, given)
    _, later = run(trained, f"parts{stage}", stage, name, **given)
    if stage == "attack":
        last = later.values("loss", "forget_score")
        assert last and last.items() <= whole.values("loss", "forget_score").items()
        return
    one, other = (
        checkpoints.read(checkpoints.directory(trained, f"{kind}{stage}") / checkpoints.MODEL)[0]
        for kind in ("whole", "parts")
    )
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_share_of_less_than_a_block_is_some_of_its_tokens() -> None:
    made = task()
    forget, retain = made.train["forget"], made.train["retain"]
    tokens = int((forget.targets != IGNORE).sum())
    for fraction, wanted in ((4 / tokens, 4), (1e-7, 1)):
        seen = observed(made, fraction).train
        assert int((seen["forget"].targets != IGNORE).sum()) == wanted
        assert len(seen["forget"]) == 1
        total = sum(int((part.targets != IGNORE).sum()) for part in seen.values())
        assert total == tokens + int((retain.targets != IGNORE).sum())
    nested = [observed(made, k / len(forget)).train["forget"] for k in (1, 3)]
    assert np.array_equal(nested[0].input_ids[0], nested[1].input_ids[0])


def test_a_released_model_taken_as_it_is_has_no_oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    source = {
        "name": "released",
        "setting": {"name": "language", **SMALL},
        "recipes": [{"suppress": "max_ent"}],
        "attacks": [{"name": "relearn", "learning_rate": [1e-3]}],
    }
    plan = resolve(source)
    assert {run.stage for run in plan.runs} == {"base", "oracle", "suppress", "evaluate", "attack"}
    build = build_task

    def floored(name: str, parameters: dict[str, Any]) -> Task:
        return replace(build(name, parameters), anchor="floor")

    monkeypatch.setattr("backend.plan.build_task", floored)
    bare = resolve(source)
    assert {run.stage for run in bare.runs} == {"base", "suppress", "evaluate", "attack"}
    assert bare.document["setting"]["anchor"] == "floor"
    for broken in (
        {"oracles": 2},
        {"recipes": [{"robustify": {"name": "distill", "teacher": "oracle"}}]},
    ):
        with pytest.raises(UserError, match="no model without the forget data can be trained"):
            resolve({**source, **broken})


def test_a_plan_without_its_data_has_shapes_and_says_what_is_missing() -> None:
    wanted = {
        **SMALL,
        "keep": "nobody/kept-text",
        "model": "gemma2_0.1b",
        "tokenizer": "nobody/cut",
    }
    with pytest.raises(UserError, match="There is no tokenizer 'nobody/cut'"):
        build_task("language", wanted)
    found = outlined_task("language", wanted)
    assert "nobody/cut" in found.absent and "nobody/kept-text" in found.absent
    assert found.model["vocab_size"] == 256_000
    assert not outlined_task("language", SMALL).absent


def test_rows_of_memory_maps_behave_as_arrays() -> None:
    part = task().splits["forget_score"]
    taken = part.take(np.array([1, 0]))
    assert isinstance(taken, Examples) and taken.identity == ""
    assert np.array_equal(taken.targets[1], part.targets[0])
