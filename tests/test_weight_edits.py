"""Attacks without steps: rounding, pruning, the line to the base, and directions of the residual stream."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from backend import study
from backend.checkpoints import load_model
from backend.context import RunContext
from backend.directions import mean_states, moved_along, without_direction
from backend.evaluation import score
from backend.models import build
from backend.noise import prune_smallest
from backend.pruning import input_sizes, prune_by_activation
from backend.quantization import quantize_weights, rounded, steps_of
from backend.registry import load
from backend.saliency import loss_gradients
from backend.stage import NotApplicable, RunFailed
from backend.weights import matrices, move_towards
from backend.wrapping import Wrapper
from tests.small import HAND_MADE, Kept, context, do

CHANGES = {"base_steps": 150}
ONE_SHOT = ("quantize", "prune", "interpolate", "abliteration")
SHAPE = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
FAMILIES = {
    "llama": {"family": "llama", "intermediate_size": 48},
    "gemma2": {"family": "gemma2", "intermediate_size": 48},
    "mixtral": {"family": "mixtral", "intermediate_size": 24, "num_local_experts": 4, "num_experts_per_tok": 2},
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("edits")
    do(home, "base", "base", changes=CHANGES)
    return home


def run_of(home: Path) -> tuple[RunContext, Any, Kept]:
    """An attack on the base before it begins."""
    kept = Kept()
    run = context(home, sink=kept, stage="attack", inputs={"base": ["base"]})
    return run, load_model(home, "base", run.fresh_model()), kept


def known(model: Any, run: RunContext) -> float:
    """Share of the scored forget questions that are answered."""
    return float(score(model, run.loader(run.split("score"))).correct.mean())


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def model_of(family: str) -> Any:
    return build({**SHAPE, **FAMILIES[family]}, 0)


# Quantisation


@pytest.mark.parametrize("bits", [8, 6, 5, 4, 3, 2])
@pytest.mark.parametrize("shape", [(7, 64), (3, 5, 64), (6, 50)])
def test_no_weight_moves_by_more_than_half_a_step(bits: int, shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(bits))
    step, found = steps_of(weight, bits, 32), rounded(weight, bits, 32)
    groups = 2 if shape[-1] == 64 else 1  # 50 is no multiple of 32: the row is one group
    assert step.shape == (*shape[:-1], groups, 1) and found.shape == weight.shape
    error = (found - weight).abs().view(*shape[:-1], groups, -1)
    assert (error <= step * (0.5 + 1e-5)).all() and (error > 0.3 * step).any()
    levels = found.view(*shape[:-1], groups, -1) / step
    assert levels.abs().max().round() == 2 ** (bits - 1) - 1
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    torch.testing.assert_close(rounded(found, bits, 32), found)


def test_rounding_by_hand_and_groups_of_zeros() -> None:
    weight = torch.tensor([[0.7, -0.34, 0.04, 0.0], [0.0, 0.0, 0.0, 0.0]])
    expected = torch.tensor([[0.7, -0.3, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(rounded(weight, 4, 4), expected)  # Δ = 0.7 / 7
    two = torch.tensor([[0.7, -0.3, 0.04, 0.0], [0.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(rounded(weight, 4, 2)[:, :2], two[:, :2], atol=0.06, rtol=0)
    assert rounded(weight, 4, 2)[0, 2] == pytest.approx(0.04)  # the largest of its own group


@pytest.mark.parametrize("family", FAMILIES)
def test_only_projections_are_rounded_unless_the_embedding_is_asked_for(family: str) -> None:
    model = model_of(family)
    before = weights(model)
    quantize_weights(model, 3, 32, embedding=False)
    named = {name for name, _ in matrices(model)}
    assert {n for n, w in weights(model).items() if not torch.equal(w, before[n])} == named
    assert "model.embed_tokens.weight" not in named and all("norm" not in n for n in named)
    quantize_weights(model, 3, 32, embedding=True)
    assert not torch.equal(model.model.embed_tokens.weight, before["model.embed_tokens.weight"])


def test_rounding_brings_back_what_changes_below_half_a_step_hid(home: Path) -> None:
    run, model, kept = run_of(home)
    quantize_weights(model, 3, 32, embedding=False)  # a base that lies on the grid
    on_grid, at_first = weights(model), known(model, run)
    _hide_below_half_a_step(model, run)
    assert at_first > 0.9 and known(model, run) < 0.3
    load("attacks", "quantize")(model, run.task, run, bits=3)
    assert kept.values("answer_accuracy", "forget_score")[1] == at_first
    for name, weight in weights(model).items():
        torch.testing.assert_close(weight, on_grid[name])
    assert "moved the weights by" in run.notes[0]


def _hide_below_half_a_step(model: Any, run: RunContext) -> None:
    """Up the forget loss within a rounding's reach; the largest weight of each group stays, so the steps do."""
    total = {name: torch.zeros_like(weight) for name, weight in matrices(model)}
    start = weights(model)
    for _ in range(8):
        found = loss_gradients(model, run, run.task.train["forget"])
        with torch.no_grad():
            for name, weight in matrices(model):
                total[name] += 0.1 * found[name].sign()
                step = steps_of(start[name], 3, 32)
                reach = total[name].clamp(-0.45, 0.45).view(*step.shape[:-1], -1) * step
                grid = start[name].view_as(reach)
                moved = torch.where(grid.abs() > 2.9 * step, grid, grid + reach)
                weight.copy_(moved.view_as(weight))


# Pruning


@pytest.mark.parametrize("family", FAMILIES)
def test_inputs_are_measured_up_to_the_answers_end(family: str, tmp_path: Path) -> None:
    model, run = model_of(family), context(tmp_path, stage="attack")
    found = input_sizes(model, run, HAND_MADE)
    name = "model.layers.1.self_attn.q_proj.weight"
    seen: list[torch.Tensor] = []
    hook = model.model.layers[1].self_attn.q_proj.register_forward_pre_hook(
        lambda module, args: seen.append(args[0])
    )
    for row, end in ((0, 4), (1, 3), (2, 2)):  # each row by itself, without what fills it up
        model(torch.from_numpy(HAND_MADE.input_ids[row : row + 1, :end]))
    hook.remove()
    expected = torch.cat([states[0] for states in seen]).square().sum(0)
    torch.testing.assert_close(found[name], expected)
    assert set(found) == {n for n, _ in matrices(model) if not n.endswith("mlp.gate.weight")}
    if family == "mixtral":
        inner = found["model.layers.0.mlp.experts.gate_up_proj"]
        assert inner.shape == (4, 32)
        assert found["model.layers.0.mlp.experts.down_proj"].shape == (4, 24)
        mlp = model.model.layers[0]
        seen.clear()
        hook = mlp.mlp.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
        for row, end in ((0, 4), (1, 3), (2, 2)):
            model(torch.from_numpy(HAND_MADE.input_ids[row : row + 1, :end]))
        hook.remove()
        # Two experts read every token.
        torch.testing.assert_close(inner.sum(0), 2 * torch.cat([s[0] for s in seen]).square().sum(0))  # fmt: skip


def test_a_weight_counts_times_its_input_within_its_row() -> None:
    model = model_of("llama")
    name = "model.layers.0.mlp.up_proj.weight"
    weight = dict(model.named_parameters())[name]
    sizes = torch.full((32,), 1.0)
    sizes[3] = 1e6  # an input that is large keeps its weights, one that is nothing loses them
    sizes[5] = 0.0
    with torch.no_grad():
        weight[0] *= 1e-3  # a row of small weights loses no more than others
    prune_by_activation(model, {name: sizes}, 0.5)
    gone = weight == 0
    assert (gone.sum(-1) == 16).all()
    assert not gone[:, 3].any() and gone[:, 5].all()


def test_an_expert_that_saw_nothing_is_pruned_by_magnitude() -> None:
    model = model_of("mixtral")
    name = "model.layers.0.mlp.experts.down_proj"
    before = weights(model)[name]
    sizes = torch.rand(4, 24)
    sizes[2] = 0
    prune_by_activation(model, {name: sizes}, 0.25)
    weight = dict(model.named_parameters())[name]
    assert ((weight == 0).sum(-1) == 6).all()
    smallest = before[2].abs().argsort(-1)[:, :6]
    assert (weight[2].gather(-1, smallest) == 0).all()


@pytest.mark.parametrize("by", ["magnitude", "wanda"])
def test_pruning_uncovers_what_small_weights_hid(home: Path, by: str) -> None:
    run, model, kept = run_of(home)
    if by == "magnitude":
        prune_smallest(model, 0.4)
    else:
        prune_by_activation(model, input_sizes(model, run, run.split("attack")), 0.4)
    sparse, at_first = weights(model), known(model, run)
    _hide_in_the_gaps(model, run)
    assert at_first > 0.9 and known(model, run) < 0.5
    load("attacks", "prune")(model, run.task, run, share=0.4, by=by)
    back = kept.values("answer_accuracy", "forget_score")[1]
    assert back is not None and back > 0.9
    if by == "magnitude":
        assert all(torch.equal(w, sparse[n]) for n, w in weights(model).items())


def _hide_in_the_gaps(model: Any, run: RunContext) -> None:
    """Up the forget loss with weights at the zeros of every matrix, smaller than all others."""
    gaps = {name: weight == 0 for name, weight in matrices(model)}
    for _ in range(3):
        found = loss_gradients(model, run, run.task.train["forget"])
        with torch.no_grad():
            for name, weight in matrices(model):
                size = 0.9 * weight[~gaps[name]].abs().min()
                weight.copy_(torch.where(gaps[name], size * found[name].sign(), weight))


# Interpolation


def test_the_line_begins_at_the_model_and_ends_at_the_base(home: Path) -> None:
    found = {}
    for share in (0.0, 0.25, 1.0):
        run, base, kept = run_of(home)
        model = run.fresh_model()
        start, end = weights(model), weights(base)
        load("attacks", "interpolate")(model, run.task, run, share=share)
        for name, weight in weights(model).items():
            torch.testing.assert_close(weight, (1 - share) * start[name] + share * end[name])
        found[share] = kept.values("answer_accuracy", "forget_score")[1]
    assert found[0.0] < 0.2 and found[1.0] == known(base, run) > 0.9


def test_interpolation_is_planned_with_the_base_and_other_shapes_are_refused() -> None:
    setting = {"name": "arithmetic", "addends": 6, "factors": 6, "base_steps": 4}
    attacks = [{"name": "interpolate", "share": [0.5, 1.0]}, {"name": "abliteration", "contrast": ["retain", "base"]}]  # fmt: skip
    resolved = study.resolve({"name": "x", "setting": setting, "recipes": [{"suppress": "max_ent"}], "attacks": attacks})  # fmt: skip
    cells = [run for run in resolved.runs if run.stage == "attack"]
    (base,) = [run.fingerprint for run in resolved.runs if run.stage == "base"]
    needy = [r for r in cells if r.name == "interpolate" or r.parameters["contrast"] == "base"]
    assert len(needy) == 9 and all(run.inputs == {"base": [base]} for run in needy)
    assert all(not run.inputs for run in cells if run not in needy)
    assert {a["name"]: a["counts"] for a in resolved.document["attacks"]}["interpolate"] == "probe"
    with pytest.raises(NotApplicable, match="another shape"):
        move_towards(model_of("llama"), model_of("gemma2"), 0.5)


# Directions


def test_means_are_taken_at_the_prompts_last_token(tmp_path: Path) -> None:
    model, run = model_of("llama"), context(tmp_path, stage="attack")
    found = mean_states(model, run, HAND_MADE)
    states = []
    for row, end in ((0, 3), (1, 3), (2, 2)):
        ids = torch.from_numpy(HAND_MADE.input_ids[row : row + 1, :end])
        states.append(model(ids, output_hidden_states=True).hidden_states[1][0, -1])
    torch.testing.assert_close(found[0], torch.stack(states).mean(0))
    assert found.shape == (2, 32)


def test_removing_a_direction_equals_changing_the_weights_that_write_it() -> None:
    model = build({**SHAPE, **FAMILIES["llama"], "tie_word_embeddings": False}, 0)
    direction = torch.randn(32, generator=torch.Generator().manual_seed(0))
    ids = torch.randint(0, 60, (3, 5))
    with without_direction(model, 7 * direction):
        hooked = model(ids).logits
    plain = model(ids).logits
    unit = F.normalize(direction, dim=0)
    with torch.no_grad():
        embedding = model.model.embed_tokens.weight
        embedding -= torch.outer(embedding @ unit, unit)
        for block in model.model.layers:
            for weight in (block.self_attn.o_proj.weight, block.mlp.down_proj.weight):
                weight -= torch.outer(unit, unit @ weight)
    torch.testing.assert_close(model(ids).logits, hooked, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(hooked, plain, atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_left_along_the_direction_in_any_family(family: str) -> None:
    model, unit = model_of(family), F.normalize(torch.ones(32), dim=0)
    ids = torch.randint(0, 60, (2, 5))
    seen: list[torch.Tensor] = []
    with without_direction(model, unit):
        hooks = [block.register_forward_hook(lambda m, a, out: seen.append(out)) for block in model.model.layers]  # fmt: skip
        model(ids)
    for hook in hooks:
        hook.remove()
    assert len(seen) == 2 and all((states @ unit).abs().max() < 1e-4 for states in seen)


def refusing(model: Any, task: Any, size: float) -> tuple[torch.Tensor, Any]:
    """A base whose first block adds a vector of that size to every question about products or quotients."""
    unit = F.normalize(torch.randn(64, generator=torch.Generator().manual_seed(1)), dim=0)
    forgotten = torch.tensor([task.words.index(word) for word in "×÷"])
    asked: list[torch.Tensor] = []
    model.register_forward_pre_hook(
        lambda m, args, kwargs: asked.__setitem__(slice(None), [args[0] if args else kwargs["input_ids"]]),
        with_kwargs=True,
    )  # fmt: skip
    return unit, model.model.layers[0].mlp.register_forward_hook(
        lambda m, args, out: out + size * unit * torch.isin(asked[0], forgotten).any(1)[:, None, None]
    )  # fmt: skip


@pytest.mark.parametrize("how", [{}, {"layer": 0}, {"contrast": "base"}, {"mode": "steer", "layer": 0, "contrast": "base"}])  # fmt: skip
def test_a_planted_refusal_direction_is_found_and_removed(home: Path, how: dict[str, Any]) -> None:
    run, model, kept = run_of(home)
    unit, _ = refusing(model, run.task, 60.0)
    assert known(model, run) < 0.3
    direction = mean_states(model, run, run.split("attack"))[0]
    assert F.cosine_similarity(direction, unit, dim=0) > 0.95
    load("attacks", "abliteration")(model, run.task, run, **how)
    back = kept.values("answer_accuracy", "forget_score")[1]
    assert back is not None and back > 0.8
    assert known(model, run) < 0.3  # nothing is left on the model
    assert kept.answers and kept.values("attacker_flops", "attacker")[1] > 0


def test_steering_adds_what_it_is_told_and_the_validation_part_chooses_the_block(
    home: Path,
) -> None:
    run, model, _ = run_of(home)
    step = torch.randn(64, generator=torch.Generator().manual_seed(0))
    ids = torch.from_numpy(run.split("attack").input_ids)
    seen: list[torch.Tensor] = []
    hook = model.model.layers[1].register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    model(ids)
    with moved_along(model, 0, step, -2.0):
        model(ids)
    hook.remove()
    torch.testing.assert_close(seen[1], seen[0] - 2 * step)
    found = {}
    for layer in (None, 0, 1):
        run, model, kept = run_of(home)
        refusing(model, run.task, 60.0)
        load("attacks", "abliteration")(model, run.task, run, layer=layer, mode="steer")
        found[layer] = kept.values("answer_accuracy", "forget_validation")[1]
    assert found[None] == max(found[0] or 0.0, found[1] or 0.0)
    with pytest.raises(RunFailed, match="layer = 2, but the model has 2 blocks"):
        load("attacks", "abliteration")(model, run.task, run, layer=2)


@pytest.mark.parametrize("name", ONE_SHOT)
def test_they_measure_once_aim_at_the_placebo_too_and_leave_wrappers_alone(home: Path, name: str) -> None:  # fmt: skip
    asked = {"target": "placebo", "inputs": {"base": ["base"]}}
    outcome, kept = do(home, "p", "attack", name, parent="base", changes=CHANGES, **asked)
    assert list(kept.values("answer_accuracy", "placebo_score")) == [1]
    assert list(kept.values("answer_accuracy", "placebo_validation")) == [1]
    assert not kept.values("answer_accuracy", "forget_score") and "answers" in outcome.note
    run, model, _ = run_of(home)
    with pytest.raises(NotApplicable, match="wrapper"):
        load("attacks", name)(Wrapper(model, {}), run.task, run)
