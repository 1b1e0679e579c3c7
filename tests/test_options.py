"""Options that compose with any loss: against hand computations, and exactly within their bounds."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from backend import catalogue, study
from backend.checkpoints import read
from backend.composition import run_method
from backend.models import build
from backend.options.gradient_penalty import gradient_penalty
from backend.options.random_smoothing import random_smoothing
from backend.options.sam import sam
from backend.perturbation import moved
from backend.saliency import largest, loss_gradients
from backend.stage import Cancelled, UserError
from backend.training import train
from tests.small import Kept, context, do

torch.set_num_threads(1)


class Bowl(torch.nn.Module):
    """A small nonlinear loss in two tensors, for gradients that can be written down."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.a = torch.nn.Parameter(torch.randn(3, 2, generator=generator))
        self.b = torch.nn.Parameter(torch.randn(2, generator=generator))

    def value(self) -> torch.Tensor:
        return ((self.a @ self.b).pow(4).sum() + self.a.square().sum() * 0.3).double().float()


def backward_of(model: Bowl) -> Callable[[], Any]:
    def backward() -> tuple[float, dict[str, Any]]:
        loss = model.value()
        loss.backward()
        return loss.item(), {}

    return backward


def plain_gradient(model: Bowl) -> list[torch.Tensor]:
    return list(torch.autograd.grad(model.value(), list(model.parameters())))


def test_sam_takes_the_gradient_uphill(tmp_path: Path) -> None:
    model, run = Bowl(), context(tmp_path)
    start = [p.detach().clone() for p in model.parameters()]
    first = plain_gradient(model)
    norm = torch.cat([g.flatten() for g in first]).norm()
    elsewhere = copy.deepcopy(model)
    with torch.no_grad():
        for parameter, gradient in zip(elsewhere.parameters(), first, strict=True):
            parameter.add_(0.05 * gradient / norm)
    expected = plain_gradient(elsewhere)
    sam(model, run.task, run, rho=0.05)
    assert run.wrapper is not None
    run.wrapper(model, backward_of(model), 0)
    for parameter, gradient, before in zip(model.parameters(), expected, start, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-5)
        assert torch.equal(parameter, before)  # put back bit for bit


def test_sams_step_is_the_same_with_accumulated_batches(tmp_path: Path) -> None:
    """Two halves accumulated are one batch, also through both of SAM's passes."""
    from backend.losses import cross_entropy
    from backend.models import scored_logits

    made = []
    for size, accumulate in ((16, 1), (8, 2)):
        run = context(tmp_path)
        model = run.fresh_model()
        batches = run.batches(run.task.train["retain"], size, "retain")

        def loss(k: int, model: Any = model, batches: Any = batches) -> Any:
            batch = batches(k)
            return cross_entropy(scored_logits(model, batch), batch.targets)

        sam(model, run.task, run, rho=0.05)
        train(model, loss, run, steps=3, learning_rate=1e-3, accumulate=accumulate)
        made.append(model)
    for one, other in zip(made[0].parameters(), made[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-3)


def test_the_gradient_penalty_is_that_of_double_backward(tmp_path: Path) -> None:
    model, run = Bowl(), context(tmp_path)
    grads = torch.autograd.grad(model.value(), list(model.parameters()), create_graph=True)
    squared = torch.stack([g.square().sum() for g in grads]).sum()
    exact = torch.autograd.grad(model.value() + 0.2 * squared, list(model.parameters()))
    gradient_penalty(model, run.task, run, weight=0.2, radius=1e-3)
    assert run.wrapper is not None
    run.wrapper(model, backward_of(model), 0)
    for parameter, gradient in zip(model.parameters(), exact, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=2e-2, atol=2e-2)


def test_smoothing_without_spread_is_the_plain_gradient(tmp_path: Path) -> None:
    model, run = Bowl(), context(tmp_path)
    expected = plain_gradient(model)
    random_smoothing(model, run.task, run, sigma=1e-9, samples=3)
    assert run.wrapper is not None
    run.wrapper(model, backward_of(model), 0)
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_moved_weights_come_back_also_after_an_error() -> None:
    model = Bowl()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with pytest.raises(ValueError, match="stop"), moved(model, {"a": torch.ones(3, 2)}):
        assert not torch.equal(model.a, before["a"])
        raise ValueError("stop")
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_the_average_of_the_weights_is_the_one_by_hand_and_survives_a_resume(
    tmp_path: Path,
) -> None:
    option = {"optimizer_wrapper": {"name": "weight_averaging", "decay": 0.5}}
    do(tmp_path, "base", "base")
    snapshots = []
    for steps in range(1, 5):  # constant rate and no schedule: prefixes of one another
        do(tmp_path, f"s{steps}", "suppress", "npo", parent="base", steps=steps)
        snapshots.append(read(tmp_path / "checkpoints" / f"s{steps}" / "model.safetensors")[0])
    average = read(tmp_path / "checkpoints" / "base" / "model.safetensors")[0]
    for weights in snapshots:
        average = {name: 0.5 * average[name] + 0.5 * weights[name] for name in average}
    do(tmp_path, "whole", "suppress", "npo", parent="base", steps=4, **option)
    with pytest.raises(Cancelled):
        sink = Kept(stop_after=2)
        do(tmp_path, "cut", "suppress", "npo", parent="base", sink=sink, steps=4, **option)
    do(tmp_path, "cut", "suppress", "npo", parent="base", steps=4, **option)
    whole = read(tmp_path / "checkpoints" / "whole" / "model.safetensors")[0]
    cut = read(tmp_path / "checkpoints" / "cut" / "model.safetensors")[0]
    for name in whole:
        torch.testing.assert_close(whole[name], average[name], atol=1e-6, rtol=1e-5)
        assert torch.equal(whole[name], cut[name])


@pytest.mark.parametrize("name", ["salun", "wagle", "prune_first"])
def test_weights_outside_the_mask_stay_bit_for_bit(tmp_path: Path, name: str) -> None:
    do(tmp_path, "base", "base")
    base = read(tmp_path / "checkpoints" / "base" / "model.safetensors")[0]
    run = context(tmp_path)
    model = build(run.task.model, 0)
    model.load_state_dict({**model.state_dict(), **base})
    parameters = {"steps": 3, "weight_decay": 0.5, "mask": {"name": name}}
    made = run_method("npo", model, run.task, run, parameters)
    assert run.masks
    for key, weight in made.named_parameters():
        if key in run.masks:
            mask = run.masks[key]
            start = torch.zeros_like(weight) if name == "prune_first" else base[key]
            assert torch.equal(weight[~mask], start[~mask])
            assert not torch.equal(weight[mask], base[key][mask])


def test_masks_hold_the_share_that_was_asked_for() -> None:
    scores = {"a": torch.arange(10.0).view(2, 5), "b": torch.arange(10.0, 20.0)}
    masks = largest(scores, 0.25)
    assert masks["b"].sum() == 5 and masks["a"].sum() == 0
    assert masks["b"].tolist() == [False] * 5 + [True] * 5


def test_saliency_is_the_gradient_over_all_items(tmp_path: Path) -> None:
    run = context(tmp_path)
    model = run.fresh_model()
    found = loss_gradients(model, run, run.task.train["forget"])
    ids = torch.from_numpy(run.task.train["forget"].input_ids)
    targets = torch.from_numpy(run.task.train["forget"].targets[:, -1])
    torch.nn.functional.cross_entropy(model(ids).logits[:, -1], targets).backward()
    for name, parameter in model.named_parameters():
        if name in found:
            torch.testing.assert_close(found[name], parameter.grad, atol=1e-6, rtol=1e-4)


def test_lora_changes_by_low_rank_and_leaves_plain_weights(tmp_path: Path) -> None:
    do(tmp_path, "base", "base")
    adapter = {"name": "lora", "rank": 2, "where": "mlp"}
    do(tmp_path, "l", "suppress", "npo", parent="base", steps=4, adapter=adapter)
    before = read(tmp_path / "checkpoints" / "base" / "model.safetensors")[0]
    after = read(tmp_path / "checkpoints" / "l" / "model.safetensors")[0]
    assert set(before) == set(after)
    for name in before:
        change = after[name] - before[name]
        if "mlp" in name and change.dim() == 2:
            assert 1 <= torch.linalg.matrix_rank(change, atol=1e-6) <= 2
        else:
            assert torch.equal(after[name], before[name])


def test_options_enter_the_plan_its_labels_and_its_versions() -> None:
    def runs(**more: Any) -> Any:
        recipe = {"suppress": {"name": "npo", "steps": 3, **more}}
        setting = {"name": "arithmetic", "addends": 6, "factors": 6, "base_steps": 4}
        return study.resolve({"name": "x", "setting": setting, "recipes": [recipe]})

    plain, both = runs(), runs(mask="salun", optimizer_wrapper=[{"name": "sam", "rho": 0.1}, "random_smoothing"])  # fmt: skip
    labels = [c["label"] for c in both.document["configurations"][2:]]
    assert labels == [
        "NPO + SalUn mask + SAM (rho 0.1) (steps 3)",
        "NPO + SalUn mask + smoothing (steps 3)",
    ]
    (one,) = [r for r in plain.runs if r.stage == "suppress"]
    others = [r for r in both.runs if r.stage == "suppress"]
    assert len({one.fingerprint, *(r.fingerprint for r in others)}) == 3
    assert others[0].parameters["mask"] == {"name": "salun", "keep": 0.5}


@pytest.mark.parametrize(
    ("stage", "says"),
    [
        (
            {"suppress": {"name": "npo", "mask": "sam"}},
            "sam goes with optimizer_wrapper, not with mask",
        ),
        ({"suppress": {"name": "npo", "mask": "none"}}, "There is no option 'none'"),
        ({"suppress": {"name": "npo", "mask": {"name": "salun", "keep": 2}}}, "at most 1"),
        ({"robustify": {"name": "undo", "adapter": "lora"}}, "takes optimizer_wrapper"),
    ],
)
def test_an_option_that_does_not_fit_is_one_sentence(stage: dict[str, Any], says: str) -> None:
    setting = {"name": "arithmetic", "addends": 6, "factors": 6, "base_steps": 4}
    with pytest.raises(UserError, match=says):
        study.resolve({"name": "x", "setting": setting, "recipes": [stage]})


def test_every_option_names_its_slot() -> None:
    slots = {part.name: part.declared["slot"] for part in catalogue.parts("options")}
    assert set(slots.values()) == {"mask", "optimizer_wrapper", "adapter"}
    wanted = {"sam", "random_smoothing", "gradient_penalty", "weight_averaging", "wagle", "salun", "l1_sparse", "prune_first", "lora"}  # fmt: skip
    assert wanted <= set(slots)


@pytest.mark.parametrize(
    "recipe, says",
    [
        ({"suppress": {"name": "ssd", "mask": "salun"}}, "ssd .suppress. takes no option"),
        ({"suppress": "npo", "robustify": {"name": "undo", "mask": "salun"}}, "takes optimizer_wrapper"),
        ({"wrap": {"name": "whp", "optimizer_wrapper": "weight_averaging"}}, "takes no option"),
        ({"pretrain": {"name": "data_filtering", "mask": "wagle"}}, "takes no option"),
        ({"suppress": {"name": "npo", "mask": []}}, "empty grid"),
    ],
)  # fmt: skip
def test_an_option_that_would_mean_nothing_is_refused(recipe: dict[str, Any], says: str) -> None:
    setting = {"name": "arithmetic", "addends": 6, "factors": 6, "base_steps": 4}
    with pytest.raises(UserError, match=says):
        study.resolve({"name": "x", "setting": setting, "recipes": [recipe]})
