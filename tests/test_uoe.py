"""Mixtures of experts: their cost, their noise, and unlearning one expert of them."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from backend.batches import Loader
from backend.checkpoints import load_model, read, save_model
from backend.context import RunContext
from backend.data import with_answers
from backend.flops import layer_weights, parameters, training_flops
from backend.losses import cross_entropy
from backend.methods.uoe import affinities, reading_weights, router_probabilities, uoe
from backend.models import Meter, build, scored_logits
from backend.noise import add_noise, prune_smallest
from backend.recipe import execute
from backend.saliency import places
from backend.settings.arithmetic import arithmetic
from backend.shapes import of_shape, scaled
from backend.stage import Cancelled, RunFailed, StageRequest
from tests.small import PARAMETERS, Kept, small_task

torch.set_num_threads(1)
FAMILY = {**PARAMETERS, "family": "mixtral"}
EXPERTS = ("gate_up_proj", "down_proj")


def mixture(
    home: Path, key: str, stage: str, name: str = "", sink: Kept | None = None, **parameters: Any
) -> tuple[Any, Kept]:
    """One run of the small task with a mixture of experts, for real."""
    kept, parent = sink or Kept(), parameters.pop("parent", None)
    task = small_task(family="mixtral")
    setting = {"name": "arithmetic", "parameters": FAMILY, "content_hash": task.content_hash}
    request = StageRequest(
        stage, name or stage, parameters, setting, 0, "fp32", key, home, parent=parent
    )
    return execute(request, kept), kept


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of the family."""
    folder = tmp_path_factory.mktemp("mixture")
    mixture(folder, "base", "base")
    return folder


def context(home: Path) -> RunContext:
    setting = {"name": "arithmetic", "parameters": FAMILY, "content_hash": ""}
    request = StageRequest("suppress", "uoe", {}, setting, 0, "fp32", "abc", home, fresh=True)
    return RunContext(request, small_task(family="mixtral"), Kept(), torch.device("cpu"))


def unlearnt(home: Path, **parameters: Any) -> tuple[Any, RunContext]:
    run = context(home)
    model = load_model(home, "base", run.fresh_model())
    return uoe(model, run.task, run, **parameters), run


def stored(home: Path, key: str) -> dict[str, torch.Tensor]:
    return read(home / "checkpoints" / key / "model.safetensors")[0]


def test_flops_count_the_active_experts_and_the_router() -> None:
    task = arithmetic(family="mixtral")
    model = build(task.model, 0)
    model.config._attn_implementation = "eager"  # products that torch's counter sees
    batch = Loader(task.train["retain"], torch.device("cpu")).batch(slice(0, 256))
    meter = Meter()
    with meter.watching(model), FlopCounterMode(display=False) as counter:
        cross_entropy(scored_logits(model, batch), batch.targets).backward()
    active = 4 * 64 * 64 + 4 * 64 + 2 * 3 * 64 * 128
    assert layer_weights(task.model) == active
    assert active - 4 * 64 == layer_weights(arithmetic().model)
    tokens, head = 256 * 4, 256 * 64 * len(task.words)
    hand = 3 * (2 * (2.0 * active + 4 * 64 * 4) * tokens + 2 * head)
    assert meter.flops == hand == training_flops(task.model, 256, 4, 1)
    assert meter.flops == pytest.approx(counter.get_total_flops(), rel=0.01)
    matrices = sum(p.numel() for p in model.parameters() if p.dim() >= 2)
    assert parameters(task.model) == parameters(model.config.to_dict()) == matrices


def test_a_base_of_the_family_learns_and_repeats_bit_for_bit(home: Path) -> None:
    _, kept = mixture(home, "again", "base")
    losses = kept.values("loss", "train")
    assert losses[40] < 0.9 * losses[1]  # type: ignore[operator]
    one, two = stored(home, "base"), stored(home, "again")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_every_experts_matrix_gets_xavier_noise_of_its_own_fans() -> None:
    spec = arithmetic(family="mixtral").model
    model, width, inner = build(spec, 1), 64, 128
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    add_noise(model, build(spec, 2), 0.6, 0.1, torch.Generator().manual_seed(3))
    expected = 0.6 * 0.1 * math.sqrt(2 / (width + inner))
    for part in EXPERTS:
        name = f"model.layers.0.mlp.experts.{part}"
        noise = dict(model.named_parameters())[name] - 0.4 * before[name]
        for expert in noise:
            assert expert.std().item() == pytest.approx(expected, rel=0.05)


def test_pruning_takes_the_same_share_of_every_expert() -> None:
    model = build(small_task(family="mixtral").model, 0)
    model.model.layers[0].mlp.experts.down_proj.data[2] *= 100.0
    mask = prune_smallest(model, 0.25)["model.layers.0.mlp.experts.down_proj"]
    assert (~mask).sum(dim=(1, 2)).tolist() == [64 * 128 // 4] * 4


def test_other_shapes_of_a_mixture_are_stored_and_loaded(tmp_path: Path) -> None:
    spec = small_task(family="mixtral").model
    usual = build(spec, 0)
    for other in (scaled(spec, 0.5, "width", 3), build({**spec, "num_local_experts": 3}, 3)):
        save_model(tmp_path, "other", other)
        loaded = load_model(tmp_path, "other", usual)
        assert loaded.config._experts_implementation == "eager"
        ids = torch.randint(0, 20, (4, 6))
        with torch.no_grad():
            assert torch.equal(loaded(ids).logits, other(ids).logits)
    dense = build(small_task().model, 0)
    assert of_shape(usual.config.to_dict(), dense).config.model_type == "mixtral"
    assert of_shape(usual.config.to_dict(), usual) is usual


@pytest.mark.parametrize("where", ["all", "mlp", "salient"])
def test_undo_works_on_a_mixture(home: Path, where: str) -> None:
    _, kept = mixture(
        home, f"undo{where}", "robustify", "undo", parent="base", steps=6, where=where
    )
    curve = kept.values("kl", "train")
    assert curve[6] < curve[1]  # type: ignore[operator]
    run = context(home)
    chosen = places(load_model(home, "base", run.fresh_model()), run.task, run, where, 0.25)
    if where == "mlp":
        assert chosen and all(".mlp." in name for name in chosen)


@pytest.mark.parametrize("experts", [1, 2])
@pytest.mark.parametrize("loss", ["grad_ascent", "npo", "max_ent"])
def test_only_the_chosen_experts_and_their_router_change(
    home: Path, loss: str, experts: int
) -> None:
    model, run = unlearnt(
        home, loss=loss, experts=experts, steps=3, weight_decay=0.1, learning_rate=1e-2
    )
    before, fresh = stored(home, "base"), load_model(home, "base", run.fresh_model())
    scores = affinities(fresh, context(home), run.task.train["forget"])
    block, expert = divmod(int(scores.argmax()), 4)
    chosen = scores[block].topk(experts).indices.tolist()
    assert chosen[0] == expert and f"block {block}: expert {expert} " in run.notes[0]
    own = {f"model.layers.{block}.mlp.experts.{part}" for part in EXPERTS}
    for name, weight in model.named_parameters():
        if name in own:
            changed = (weight != before[name]).any(dim=(1, 2))
            assert set(changed.nonzero().flatten().tolist()) == set(chosen)
        else:
            router = name == f"model.layers.{block}.mlp.gate.weight"
            assert torch.equal(weight, before[name]) != router
        assert weight.requires_grad


def test_an_options_mask_is_kept_within(home: Path) -> None:
    run = context(home)
    model = load_model(home, "base", run.fresh_model())
    for place in (0, 1):
        name = f"model.layers.{place}.mlp.experts.down_proj"
        run.masks[name] = torch.zeros(4, 64, 128, dtype=torch.bool)
    uoe(model, run.task, run, steps=2, layer=1)
    before = stored(home, "base")
    weights = dict(model.named_parameters())
    last = "model.layers.1.mlp.experts"
    assert torch.equal(weights[f"{last}.down_proj"], before[f"{last}.down_proj"])
    assert not torch.equal(weights[f"{last}.gate_up_proj"], before[f"{last}.gate_up_proj"])


def test_affinity_is_the_mean_softmax_of_the_router_over_tokens_then_items(home: Path) -> None:
    run = context(home)
    model = load_model(home, "base", run.fresh_model())
    forget = run.task.train["forget"].take(np.arange(7))
    longer = with_answers(forget, [np.arange(1, 1 + n) for n in (1, 3, 2, 1, 1, 4, 1)])
    found = affinities(model, run, longer)
    brute = torch.zeros(2, 4)
    for i in range(7):
        length = int(np.flatnonzero(longer.targets[i] != -100)[-1]) + 1
        ids = torch.from_numpy(longer.input_ids[i : i + 1, :length])
        with torch.no_grad():
            states = model(ids, output_router_logits=True).router_logits
        brute += torch.stack([s.view(length, 4).softmax(-1).mean(0) for s in states]) / 7
    torch.testing.assert_close(found, brute)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(2))
    assert reading_weights(run.loader(longer).batch(slice(0, 7))).sum().item() == pytest.approx(1)


def test_a_given_block_is_taken(home: Path) -> None:
    for layer in (0, 1):
        _, run = unlearnt(home, layer=layer, steps=1)
        assert f"Unlearnt in block {layer}: " in run.notes[0]


def test_the_anchor_raises_the_affinity_of_the_expert(home: Path) -> None:
    found = {}
    for alpha in (0.0, 5.0):
        model, run = unlearnt(home, loss="grad_ascent", alpha=alpha, steps=12, layer=0)
        expert = int(run.notes[0].split("expert ")[1][0])
        scores = affinities(model, run, run.task.train["forget"])
        found[alpha] = scores[0, expert].item()
    assert found[0.0] + 0.02 < found[5.0]


def test_the_anchor_is_the_squared_distance_to_the_experts_indicator(home: Path) -> None:
    totals = {}
    for alpha in (0.0, 1.0):
        run = context(home)
        model = load_model(home, "base", run.fresh_model())
        uoe(model, run.task, run, alpha=alpha, steps=1, loss="max_ent", layer=0, retain_weight=0.0)
        totals[alpha] = run.sink.values("loss", "train")[1]  # type: ignore[attr-defined]
    run = context(home)
    model = load_model(home, "base", run.fresh_model())
    batch, _ = run.forget_and_retain(128)
    with router_probabilities(model) as seen, torch.no_grad():
        scored_logits(model, batch(0))
    expert = int(affinities(model, run, run.task.train["forget"])[0].argmax())
    by_hand = ((seen[0] - torch.eye(4)[expert]) ** 2).sum(dim=1).mean().item()
    assert totals[1.0] - totals[0.0] == pytest.approx(by_hand, rel=1e-4)


def test_attribution_and_every_step_are_metered(home: Path) -> None:
    _, run = unlearnt(home, steps=2, loss="max_ent")
    config, items = run.fresh_model().config.to_dict(), len(run.task.train["forget"])
    steps = 2 * 2 * training_flops(config, 128, 4, 1)
    assert run.meter.flops == pytest.approx(steps + training_flops(config, items, 4, 1) / 3)


def test_an_interrupted_run_goes_on_bit_for_bit(home: Path) -> None:
    def go(key: str, sink: Kept | None = None) -> None:
        mixture(home, key, "suppress", "uoe", parent="base", steps=6, sink=sink)

    go("whole")
    with pytest.raises(Cancelled):
        go("halved", Kept(stop_after=3))
    go("halved")
    whole, halved = stored(home, "whole"), stored(home, "halved")
    assert all(torch.equal(whole[name], halved[name]) for name in whole)


def test_what_uoe_cannot_do_is_refused_with_a_sentence(home: Path) -> None:
    dense = small_task()
    run = context(home)
    with pytest.raises(RunFailed, match="a llama model has none"):
        uoe(build(dense.model, 0), dense, run)
    with pytest.raises(RunFailed, match="the blocks 0 to 1"):
        unlearnt(home, layer=2)
    with pytest.raises(RunFailed, match="a block has 4"):
        unlearnt(home, experts=5)
    with pytest.raises(RunFailed, match="leave the adapter out"):
        mixture(home, "lora", "suppress", "uoe", parent="base", steps=1, adapter={"name": "lora"})
    assert run.meter.flops == 0
