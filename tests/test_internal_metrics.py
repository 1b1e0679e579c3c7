"""Metrics of a model's inside: known answers, identities, hidden knowledge, and where they say nothing."""

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from backend.checkpoints import load_model
from backend.data import IGNORE, Task
from backend.examination import Examination, rows_of
from backend.layerwise import scored_states
from backend.metrics.cka import linear_cka
from backend.patching import patched_drops
from backend.registry import load
from backend.stage import NotApplicable, reasons_in
from tests.hidden_knowledge import (
    Refusing,
    long_task,
    of_models,
    random_model,
    uneven,
    with_drowned_end,
    with_rotated_head,
)
from tests.small import context, do

torch.set_num_threads(1)
NAMES = (
    "perplexity",
    "ngram_entropy",
    "repetition",
    "unlearning_depth",
    "depth_by_token",
    "concept_similarity",
    "cka",
    "weight_change",
    "sharpness",
)
INSIDE = ("unlearning_depth", "concept_similarity", "cka", "weight_change", "sharpness")
INPUTS = {"base": ["base"], "oracle": ["oracle"]}
CHANGES = {"base_steps": 200}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inside")
    do(folder, "base", "base", changes=CHANGES)
    do(folder, "oracle", "oracle", changes={"base_steps": 80})  # less suffices to know retain facts
    return folder


def examined(home: Path, model: Any, task: Task | None = None, inputs: Any = INPUTS) -> Examination:
    run = context(home, task, stage="evaluate", inputs=inputs)
    return Examination(run, model if not isinstance(model, str) else stored(home, model))


def stored(home: Path, name: str) -> Any:
    return load_model(home, name, context(home).fresh_model()).eval()


def read(name: str, found: Examination) -> dict[Any, Any]:
    return dict(load("metrics", name)(found))


def test_the_base_is_what_each_comparison_says_of_an_untouched_model(home: Path) -> None:
    same = examined(home, "base")
    assert read("unlearning_depth", same)["forget_score"] == 0.0
    assert read("weight_change", same)["model"] == 0.0
    assert all(value == 0.0 for value in read("weight_change", same).values())
    assert all((values == 0.0).all() for values in read("depth_by_token", same).values())
    similar = read("concept_similarity", same)
    assert all(value == pytest.approx(1.0, abs=1e-6) for value in similar.values())
    found = {
        k: v for k, v in read("cka", same).items() if "oracle" not in k[1] or k == "forget_score"
    }
    assert all(value == pytest.approx(1.0) for value in found.values())


def test_the_oracle_is_fully_unlearned(home: Path) -> None:
    oracle = examined(home, "oracle")
    found = read("unlearning_depth", oracle)
    assert found["forget_score"] == 1.0
    layers = [v for k, v in found.items() if k[1].startswith("layer")]
    assert layers and all(value == 1.0 for value in layers)
    assert read("cka", oracle)["forget_score", "oracle"] == pytest.approx(1.0)
    assert read("cka", oracle)["forget_score"] < 0.95
    assert read("concept_similarity", oracle)["model"] < 0.95
    assert read("depth_by_token", oracle)["forget_score"].mean() > 0.1


def test_unlearning_depth_is_the_papers_formula_item_by_item_and_token_by_token() -> None:
    base, oracle, model = (random_model(seed=seed) for seed in (0, 1, 2))
    items = uneven()

    def drops(source: Any) -> np.ndarray:
        return np.array(
            [
                [
                    _drop(base, source, row, layer)
                    for row in zip(items.input_ids, items.targets, strict=True)
                ]
                for layer in range(2)
            ]
        )

    lost, mine = drops(oracle), drops(model)
    ours = patched_drops(base, oracle, context(Path("x")).loader(items))
    np.testing.assert_allclose(ours.numpy(), lost, atol=1e-5)
    expected = []
    for item in range(len(items)):
        layers = [k for k in range(2) if lost[k, item] > 0.05]
        whole = sum(lost[k, item] for k in layers)
        part = sum(lost[k, item] * min(1, max(0, mine[k, item] / lost[k, item])) for k in layers)
        expected += [part / whole] if layers else []
    assert expected
    found = of_models("unlearning_depth", long_task(), model, base=base, oracle=oracle)
    assert found["forget_score"] == pytest.approx(np.mean(expected), abs=1e-5)
    assert found["forget_score", "items"] == len(expected) / len(items)


@torch.no_grad()
def _drop(full: Any, source: Any, row: tuple[np.ndarray, np.ndarray], layer: int) -> float:
    """Δ of one item, by running the blocks above the patch by hand."""
    ids, targets = (torch.from_numpy(part)[None] for part in row)
    places = (targets[0] != IGNORE).nonzero()[:, 0]
    seen: list[torch.Tensor] = []
    handle = source.model.layers[layer].register_forward_hook(lambda m, a, o: seen.append(o))
    source(ids)
    handle.remove()
    intact = full(ids).logits

    def patch(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
        output = output.clone()
        for place in places:
            output[0, place] = seen[0][0, place]
        return output

    handle = full.model.layers[layer].register_forward_hook(patch)
    patched = full(ids).logits
    handle.remove()
    answer = targets[0, places]
    before, after = (
        x[0, places].log_softmax(-1).gather(-1, answer[:, None]) for x in (intact, patched)
    )
    return float((before - after).mean())


def test_a_rotated_head_hides_nothing_from_metrics_that_look_inside(home: Path) -> None:
    base, turned = stored(home, "base"), with_rotated_head(stored(home, "base"))
    found = examined(home, turned)
    assert found.scores("forget_score").correct.mean() < 0.2
    assert examined(home, base).scores("forget_score").correct.mean() > 0.6
    assert read("unlearning_depth", found)["forget_score"] == 0.0
    assert read("cka", found)["forget_score"] == pytest.approx(1.0)
    similar = read("concept_similarity", found)
    assert similar["model"] == pytest.approx(1.0, abs=1e-6)
    assert similar["model", "top tokens"] < 0.5  # through its own head they say something else
    assert read("depth_by_token", found)["forget_score"].mean() > 1.0
    with pytest.raises(NotApplicable, match="other shapes"):  # an untied head is a weight more
        read("weight_change", found)


def test_a_drowned_last_block_leaves_the_first_one_intact(home: Path) -> None:
    found = examined(home, with_drowned_end(stored(home, "base")))
    assert found.scores("forget_score").correct.mean() < 0.3
    depth, alike, moved, vectors = (
        read(name, found)
        for name in ("unlearning_depth", "cka", "weight_change", "concept_similarity")
    )
    assert depth["forget_score", "model's loss, layer 1"] == 0.0
    assert depth.get(("forget_score", "layer 1"), 0.0) == 0.0 < depth["forget_score", "layer 2"]
    assert alike["forget_score", "layer 1"] == pytest.approx(1.0)
    assert alike["forget_score", "layer 2"] < 0.95
    assert moved["model", "layer 1 mlp"] == 0.0 < moved["model", "layer 2 mlp"]
    assert vectors["model", "layer 1"] == pytest.approx(1.0, abs=1e-6)
    assert abs(vectors["model", "layer 2"]) < 0.6


def test_cka_is_blind_to_rotation_and_scale_and_equals_the_gram_form() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 8, generator=generator)
    y = torch.randn(50, 5, generator=generator) + x[:, :5]
    turn, _ = torch.linalg.qr(torch.randn(8, 8, generator=generator))
    assert linear_cka(x, 3.0 * x @ turn + 2.0) == pytest.approx(1.0)
    assert linear_cka(x @ turn, y) == pytest.approx(linear_cka(x, y))
    centre = torch.eye(50) - 1 / 50
    k, l = (centre @ (s @ s.T) @ centre for s in (x, y))  # noqa: E741
    expected = (k * l).sum() / ((k * k).sum() * (l * l).sum()).sqrt()
    assert linear_cka(x, y) == pytest.approx(float(expected), rel=1e-4)
    assert linear_cka(x, torch.randn(50, 8, generator=generator)) < 0.4


def test_divergence_by_token_is_torchs_and_shows_what_is_one_token_deep() -> None:
    model, base = random_model(seed=1), random_model(seed=2)
    found = of_models("depth_by_token", long_task(), model, base=base)
    p, q = (
        torch.distributions.Categorical(logits=m(torch.from_numpy(uneven().input_ids)).logits)
        for m in (model, base)
    )
    kl = torch.distributions.kl_divergence(p, q).detach()
    torch.testing.assert_close(
        torch.tensor(found["forget_score"][1]), kl[1, 1:4].mean().double(), rtol=1e-4, atol=1e-6
    )
    third = found["forget_score", "token 3"]
    assert len(third) == 1 and third[0] == pytest.approx(float(kl[1, 3]), rel=1e-4)
    assert len(found["forget_score", "token 2"]) == 3
    assert ("forget_score", "token 4") not in found
    shallow = of_models("depth_by_token", long_task(), Refusing(base), base=base)
    assert (shallow["forget_score", "token 1"] > 1).all()
    assert (shallow["forget_score", "token 2"] == 0).all()


def test_weight_change_is_relative_and_counts_steps(home: Path) -> None:
    model, base = copy.deepcopy(stored(home, "base")), stored(home, "base")
    for weight in model.parameters():
        weight.data.mul_(1.1)
    found = read("weight_change", examined(home, model))
    parts = {k: v for k, v in found.items() if "beyond" not in k[1]}
    assert all(value == pytest.approx(0.1, rel=1e-4) for value in parts.values())
    # A tenth of a weight is more than half a step Δ = largest / (2^(bits − 1) − 1) where it exceeds 5 Δ.
    for bits in (4, 8):
        far, count = 0, 0
        for weight in (w for w in base.parameters() if w.dim() > 1):
            groups = weight.detach().reshape(-1, 32)
            step = groups.abs().max(1, keepdim=True).values / (2 ** (bits - 1) - 1)
            far, count = far + int((0.1 * groups.abs() > step / 2).sum()), count + groups.numel()
        share = found["model", f"beyond half an int{bits} step"]
        assert share == pytest.approx(far / count, abs=1e-3)
    assert found["model", "beyond half an int4 step"] < found["model", "beyond half an int8 step"]


def test_sharpness_is_the_rise_along_the_gradient_and_leaves_the_model(home: Path) -> None:
    model = stored(home, "oracle")
    before = {name: w.detach().clone() for name, w in model.named_parameters()}
    found = examined(home, model)
    rise = load("metrics", "sharpness")(found)
    assert all(torch.equal(before[n], w) for n, w in model.named_parameters())
    assert all(w.grad is None for w in model.parameters())
    batch = found.loader("forget_score").batch(slice(None))
    loss = F.cross_entropy(model(batch.input_ids).logits[:, -1], batch.targets)
    gradient = torch.autograd.grad(loss, list(model.parameters()))
    length = math.sqrt(sum(float(g.square().sum()) for g in gradient))
    small = load("metrics", "sharpness")(found, rho=1e-3)["forget_score"].mean()
    assert small == pytest.approx(1e-3 * length, rel=0.1)
    with torch.no_grad():
        for weight, g in zip(model.parameters(), gradient, strict=True):
            weight.add_(0.05 / length * g)
        after = F.cross_entropy(model(batch.input_ids).logits[:, -1], batch.targets)
    assert rise["forget_score"].mean() == pytest.approx((after - loss).item(), rel=1e-3)


def test_states_are_those_behind_each_block_at_scored_positions() -> None:
    model, items = random_model(), uneven()
    found = scored_states(model, context(Path("x")).loader(items))
    hidden = model(torch.from_numpy(items.input_ids), output_hidden_states=True).hidden_states
    mask = torch.from_numpy(items.targets) != IGNORE
    torch.testing.assert_close(found.layers[0], hidden[1][mask].detach())
    torch.testing.assert_close(model.model.norm(found.layers[1]), hidden[2][mask])
    assert found.rows.tolist() == [0, 0, 1, 1, 1, 2, 3, 3]
    assert found.ends.tolist() == [0, 2, 5, 6]


@pytest.mark.parametrize("family", ["llama", "gemma2", "mixtral"])
def test_every_metric_is_finite_or_says_why_not(tmp_path: Path, family: str) -> None:
    changes = {"family": family, "base_steps": 10}
    for stage in ("base", "oracle"):
        do(tmp_path, stage, stage, changes=changes)
    do(
        tmp_path,
        "gone",
        "suppress",
        "grad_ascent",
        parent="base",
        changes=changes,
        steps=3,
        learning_rate=0.1,
    )
    for model in ("base", "oracle", "gone") if family == "llama" else ("gone",):
        asked = {"metrics": list(NAMES), "inputs": INPUTS, "changes": changes}
        outcome, kept = do(tmp_path, f"e{model}", "evaluate", parent=model, **asked)
        reasons = reasons_in(outcome.note)
        assert set(reasons) <= ({"concept_similarity"} if family == "mixtral" else set()), reasons
        measured = {row.metric for row in kept.rows if row.value is not None}
        assert measured | set(reasons) == set(NAMES)
        assert all(row.value is not None and math.isfinite(row.value) for row in kept.rows)


def test_without_base_or_oracle_the_comparisons_do_not_apply(home: Path) -> None:
    asked = {"metrics": list(NAMES), "changes": CHANGES}
    outcome, kept = do(home, "e1", "evaluate", parent="base", **asked)
    pairs = {"unlearning_depth", "depth_by_token", "concept_similarity", "cka", "weight_change"}
    assert set(reasons_in(outcome.note)) == pairs
    outcome, kept = do(home, "e2", "evaluate", parent="base", inputs={"base": ["base"]}, **asked)
    assert reasons_in(outcome.note) == {"unlearning_depth": "there is no oracle to compare with"}
    assert not [r for r in kept.rows if r.metric == "cka" and "oracle" in r.category]


def test_a_wrapper_has_no_inside(home: Path) -> None:
    found = examined(home, Refusing(stored(home, "base")))
    for name in INSIDE:
        with pytest.raises(NotApplicable, match="wrapper"):
            read(name, found)
    for name in set(NAMES) - set(INSIDE):
        rows = rows_of(name, read(name, found))
        assert rows and all(row.value is not None for row in rows)


def test_where_the_oracle_knows_as_much_there_is_no_depth(home: Path) -> None:
    found = examined(home, "base", inputs={"base": ["base"], "oracle": ["base"]})
    with pytest.raises(NotApplicable, match="less than 0.05 nats in every layer"):
        read("unlearning_depth", found)
