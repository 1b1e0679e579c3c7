"""Wrappers at inference: neutral ones are the base, stored ones are themselves, and who holds the weights sees through."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from backend import plan, results, study, worker
from backend.checkpoints import load_model, read
from backend.composition import run_method
from backend.models import scored_logits
from backend.stage import Cancelled
from db import writes
from db.session import require_database
from tests import small
from tests.small import Kept, do, small_task
from tests.small_study import SETTING

torch.set_num_threads(1)
QUICK: dict[str, dict[str, Any]] = {
    "uld": {"steps": 6},
    "whp": {"steps": 6},
    "delta_offset": {"small_steps": 6, "steps": 6},
    "in_context_unlearning": {"demonstrations": 2},
    "eco_prompts": {"steps": 30},
    "o3": {"steps": 6, "rank": 2},
}
NEUTRAL: dict[str, dict[str, Any]] = {
    "uld": {"weight": 0.0},
    "whp": {"alpha": 0.0},
    "delta_offset": {"weight": 0.0},
    "eco_prompts": {"threshold": 1.0},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wrappers")
    do(folder, "base", "base")
    return folder


context = partial(small.context, stage="wrap", parent="base")


def wrapped(home: Path, name: str, sink: Kept | None = None, **parameters: Any) -> Any:
    run = context(home, sink=sink)
    base = load_model(home, "base", run.fresh_model())
    return run_method(name, base, run.task, run, {**QUICK[name], **parameters})


@torch.no_grad()
def logits(home: Path, model: Any, part: str = "forget") -> torch.Tensor:
    run = context(home)
    return scored_logits(model, run.loader(run.task.train[part]).batch(slice(0, 30)))


def base_logits(home: Path, part: str = "forget") -> torch.Tensor:
    return logits(home, load_model(home, "base", context(home).fresh_model()), part)


@pytest.mark.parametrize("name", NEUTRAL)
def test_a_neutral_wrapper_is_the_base_bit_for_bit(home: Path, name: str) -> None:
    assert torch.equal(logits(home, wrapped(home, name, **NEUTRAL[name])), base_logits(home))


@pytest.mark.parametrize("name", QUICK)
def test_a_wrapper_changes_what_comes_out_and_leaves_the_base_inside(home: Path, name: str) -> None:
    sink = Kept()
    model = wrapped(home, name, sink)
    assert not torch.allclose(logits(home, model), base_logits(home))
    inside = dict(model.base.named_parameters())
    stored = read(home / "checkpoints" / "base" / "model.safetensors")[0]
    assert all(torch.equal(inside[key], stored[key]) for key in stored)
    (overhead,) = sink.values("inference_overhead", "model").values()
    assert overhead is not None and overhead >= 1.0


@pytest.mark.parametrize("name", QUICK)
def test_a_stored_wrapper_gives_the_same_logits(home: Path, name: str) -> None:
    do(home, f"w{name}".replace("_", ""), "wrap", name, parent="base", **QUICK[name])
    found = load_model(home, f"w{name}".replace("_", ""), context(home).fresh_model())
    assert torch.equal(logits(home, found), logits(home, wrapped(home, name)))
    assert found.overhead == wrapped(home, name).overhead


def test_a_prompt_before_the_question_is_just_that(home: Path) -> None:
    model = wrapped(home, "in_context_unlearning")
    ids = torch.from_numpy(small_task().train["forget"].input_ids[:3])
    tokens = model.context.long()[None].expand(3, -1)
    direct = model.base(torch.cat([tokens, ids], dim=1)).logits
    kept = model(ids, logits_to_keep=torch.tensor([3])).logits
    torch.testing.assert_close(kept[:, 0], direct[:, -1])
    torch.testing.assert_close(model(ids).logits, direct[:, tokens.shape[1] :])


def test_the_classifier_tells_forget_prompts_and_spares_the_others(home: Path) -> None:
    model = wrapped(home, "eco_prompts", steps=200)
    task, embed = small_task(), model.base.get_input_embeddings()
    caught = {
        part: (model.about_forget(embed(torch.from_numpy(task.train[part].input_ids))) > 0.5)
        for part in ("forget", "retain")
    }
    assert caught["forget"].float().mean() > 0.95 and caught["retain"].float().mean() < 0.05
    spared = ~caught["retain"][:30]
    same = logits(home, model, "retain")[spared]
    torch.testing.assert_close(same, base_logits(home, "retain")[spared])


def test_an_interrupted_offset_goes_on_bit_for_bit(home: Path) -> None:
    parameters = {"small_steps": 10, "steps": 10}
    do(home, "whole", "wrap", "delta_offset", parent="base", **parameters)
    one = read(home / "checkpoints" / "whole" / "model.safetensors")[0]
    for name, stop in (("early", 5), ("late", 15)):
        with pytest.raises(Cancelled):
            sink = Kept(stop_after=stop)
            do(home, name, "wrap", "delta_offset", parent="base", sink=sink, **parameters)
        do(home, name, "wrap", "delta_offset", parent="base", **parameters)
        other = read(home / "checkpoints" / name / "model.safetensors")[0]
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_weight_attacks_on_a_wrapper_are_its_parents_and_its_row_says_black_box() -> None:
    recipes = [
        {"wrap": {"name": "uld", "steps": 4}},
        {"suppress": {"name": "max_ent", "steps": 3}, "wrap": {"name": "whp", "steps": 4}},
    ]
    attack = {"name": "relearn", "learning_rate": [1e-3], "steps": 10}
    source = {"name": "wrapped", "setting": SETTING, "recipes": recipes, "attacks": [attack]}
    resolved = study.resolve(source)
    attacked = {run.parent for run in resolved.runs if run.stage == "attack"}
    wraps = {run.fingerprint for run in resolved.runs if run.stage == "wrap"}
    assert len(wraps) == 2 and not attacked & wraps
    engine = require_database()
    writes.submit(
        engine, name="wrapped", document=resolved.document, runs=plan.as_rows(resolved.runs)
    )
    assert worker.work(engine, slots=1, until_idle=True)
    rows = {r["configuration"]: r for r in results.frontier_document(engine, "wrapped")["rows"]}
    of_base = rows["ULD (steps 4)"]
    of_suppressed = rows["MaxEnt (steps 3) → WHP (steps 4)"]
    assert of_base["robust_forget_quality"]["mean"] == 0.0
    assert of_base["badges"] == of_suppressed["badges"] == ["black-box only"]
    parent = rows["MaxEnt (steps 3)"]["robust_forget_quality"]["mean"]
    assert of_suppressed["robust_forget_quality"]["mean"] == pytest.approx(parent)
    assert (of_base["cells_done"], of_base["cells_total"]) == (1, 1)
