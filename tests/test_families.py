"""Released checkpoints of four families go through the methods and attacks, and are counted right."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from backend import architecture
from backend.checkpoints import kept_buffers, load_model, read, save_model
from backend.composition import run_method
from backend.context import RunContext
from backend.data import Task
from backend.models import (
    scored_logits,
    starting,
)
from backend.pretraining import pretrain
from backend.quantization import quantize_weights
from backend.registry import load
from backend.stage import RunFailed
from tests.families import FOUR, checkpoint, task_on
from tests.small import Kept, context

torch.set_num_threads(1)


@pytest.fixture(scope="module", params=FOUR)
def released_task(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp(request.param) / "model"
    return task_on(checkpoint(folder, request.param))


@pytest.fixture(scope="module")
def home(released_task: Task, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a base, trained for a few steps from the released weights."""
    folder = tmp_path_factory.mktemp("home")
    run = context(folder, released_task, stage="base")
    model = pretrain(run, with_forget=True)
    save_model(folder, "base", model)
    return folder


def at_work(home: Path, task: Task, stage: str, **more: Any) -> tuple[RunContext, Any, Kept]:
    kept = Kept()
    run = context(home, task, kept, stage, parent="base", **more)
    return run, run.stored("base"), kept


def test_a_base_starts_from_the_released_weights_and_is_stored_whole(
    home: Path, released_task: Task
) -> None:
    run, base, _ = at_work(home, released_task, "suppress")
    start = run.fresh_model()
    released = dict(start.named_parameters())
    moved = [not torch.equal(w, released[name]) for name, w in base.named_parameters()]
    assert all(moved)
    apart = max((w - released[n]).abs().max().item() for n, w in base.named_parameters())
    assert apart < 0.02  # three steps of 3e-3 at most
    tensors, header = read(home / "checkpoints/base/model.safetensors")
    assert set(tensors) == set(released) and not kept_buffers(base)
    assert header["config"]["origin"]["license"] == "apache-2.0"
    assert header["config"]["origin"]["pretrained"] == released_task.model["pretrained"]
    untied = architecture.head(base).weight is not architecture.embedding(base).weight
    assert untied == (not base.config.tie_word_embeddings)


def test_a_stored_model_needs_its_source_no_longer(home: Path, released_task: Task) -> None:
    gone = replace(released_task, model={**released_task.model, "pretrained": "/gone/away"})
    model = context(home, gone).stored("base")
    again = load_model(home, "base", starting(released_task.model, 3))
    for (name, one), (_, other) in zip(
        model.named_parameters(), again.named_parameters(), strict=True
    ):
        assert torch.equal(one, other), name
    with pytest.raises(RunFailed, match="cannot be read"):
        context(home, gone).fresh_model()


METHODS: dict[str, dict[str, Any]] = {
    "grad_diff": {"steps": 2, "batch_size": 8},
    "max_ent": {"steps": 2, "batch_size": 8},
    "npo": {"steps": 2, "batch_size": 8},
    "rmu": {"steps": 2, "batch_size": 8},
    "circuit_breakers": {"steps": 2, "batch_size": 8},
    "lat": {"steps": 1, "batch_size": 8, "inner_steps": 1},
    "rep_noise": {"steps": 1, "batch_size": 8},
    "needle": {},
    "undo": {"steps": 2, "alpha": 0.5, "retain_batch": 8, "forget_batch": 8},
    "distill": {"steps": 2, "retain_batch": 8, "forget_batch": 8, "tolerance": 0.0},
    "s3t": {"steps": 1, "batch_size": 8, "slices": 2, "shards": 1},
    "gradient_routing": {"extra_neurons": 4, "coherence_steps": 1},
    "parameter_routing": {"neurons": 4, "coherence_steps": 1},
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_work_on_every_family(home: Path, released_task: Task, name: str) -> None:
    run, base, _ = at_work(home, released_task, "suppress")
    before = {n: w.detach().clone() for n, w in base.named_parameters()}
    model = run_method(name, base, released_task, run, dict(METHODS[name]))
    after = dict(model.named_parameters())
    assert set(after) == set(before)
    assert all(bool(torch.isfinite(w).all()) for w in after.values())
    assert any(not torch.equal(w, before[n]) for n, w in after.items())
    save_model(home, name.replace("_", ""), model)
    again = run.stored(name.replace("_", ""))
    assert all(torch.equal(w, after[n]) for n, w in again.named_parameters())


@pytest.mark.parametrize("where", ["attention", "mlp", "all"])
def test_low_rank_additions_find_the_projections(
    home: Path, released_task: Task, where: str
) -> None:
    run, base, _ = at_work(home, released_task, "suppress")
    before = {n: w.detach().clone() for n, w in base.named_parameters()}
    adapter = {"name": "lora", "rank": 2, "where": where}
    asked = {"steps": 2, "batch_size": 8, "learning_rate": 1e-2, "adapter": adapter}
    after = run_method("max_ent", base, released_task, run, asked).state_dict()
    changed = {n for n, w in before.items() if not torch.equal(after[n], w)}
    expected = {f"{name}.weight" for name in architecture.projections(base, where)}
    assert changed == expected and expected


ATTACKS: dict[str, dict[str, Any]] = {
    "relearn": {"steps": 2, "evaluate_every": 1, "batch_size": 8},
    "relearn_lora": {"steps": 2, "evaluate_every": 1, "batch_size": 8, "rank": 2},
    "quantize": {"bits": 3, "group": 16},
    "prune": {"share": 0.5},
    "logit_lens": {},
    "linear_probe": {},
    "decoding": {"tries": 2},
    "abliteration": {},
    "soft_prompt": {"steps": 1, "length": 2, "evaluate_every": 1},
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_work_on_every_family(home: Path, released_task: Task, name: str) -> None:
    run, base, kept = at_work(home, released_task, "attack")
    attacked = load("attacks", name)(base, released_task, run, **ATTACKS[name])
    assert attacked is not None
    measured = {"logit_lens": "lens_accuracy", "linear_probe": "probe_accuracy"}
    values = kept.values(measured.get(name, "loss"), "forget_score")
    assert values and all(v is not None for v in values.values())


@pytest.mark.parametrize("metric", ["weight_change", "concept_similarity", "cka"])
def test_metrics_that_look_inside_work_on_every_family(
    home: Path, released_task: Task, metric: str
) -> None:
    from backend.examination import Examination

    run, base, _ = at_work(home, released_task, "evaluate", inputs={"base": ["base"]})
    with torch.no_grad():
        for weight in base.parameters():
            weight.mul_(1.5)
    found = dict(load("metrics", metric)(Examination(run, base)))
    if metric == "weight_change":
        assert found["model"] == pytest.approx(0.5, rel=1e-5)
        kinds = {"attention", "mlp", "embedding", "norms", "layer 1 attention", "layer 2 mlp"}
        kinds |= set() if base.config.tie_word_embeddings else {"head"}
        assert kinds <= {key[1] for key in found if isinstance(key, tuple)}
    if metric == "concept_similarity":
        assert found["model"] == pytest.approx(1.0)
    assert found


def test_quantised_matrices_are_those_of_the_blocks(home: Path, released_task: Task) -> None:
    _, base, _ = at_work(home, released_task, "attack")
    before = {n: w.detach().clone() for n, w in base.named_parameters()}
    quantize_weights(base, 2, 8, embedding=False)
    changed = {n for n, w in base.named_parameters() if not torch.equal(w, before[n])}
    assert changed == {f"{name}.weight" for name in architecture.projections(base)}


def test_scored_logits_are_the_same_positions(home: Path, released_task: Task) -> None:
    run, base, _ = at_work(home, released_task, "attack")
    batch = run.loader(released_task.splits["forget_score"]).batch(slice(0, 5))
    with torch.no_grad():
        whole: Callable[..., Any] = base(batch.input_ids, use_cache=False).logits
    torch.testing.assert_close(scored_logits(base, batch), whole[:, batch.columns].flatten(0, 1))  # type: ignore[index]
