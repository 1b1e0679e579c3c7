"""Precision policies: what they convert, how losses are scaled, what is counted, and resuming under each of them."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from backend import checkpoints, precision, study
from backend.curves import equivalent, first_divergence
from backend.models import build, frozen_copy, scored_logits
from backend.precision import POLICIES, LossScale, lost_updates, prepared, unscaled, using
from backend.recipe import execute
from backend.stage import Cancelled, RunFailed, StageRequest, UserError
from backend.training import train
from tests.small import PARAMETERS, Kept, context, small_task

torch.set_num_threads(1)


def done(home: Path, name: str, policy: str, stage: str = "base", part: str = "base", sink: Any = None, **more: Any) -> Kept:  # fmt: skip
    setting = {"name": "arithmetic", "parameters": PARAMETERS, "content_hash": small_task().content_hash}  # fmt: skip
    parent = more.pop("parent", None)
    request = StageRequest(stage, part, more, setting, 0, policy, name, home, parent)
    kept = sink or Kept()
    execute(request, kept)
    return kept


def stored(home: Path, name: str) -> dict[str, torch.Tensor]:
    return checkpoints.read(checkpoints.directory(home, name) / checkpoints.MODEL)[0]


def test_a_study_may_name_every_policy_and_no_other() -> None:
    assert set(study.PRECISIONS) == set(POLICIES)
    prints = {
        study.resolve({"precision": policy, "recipes": []}).runs[0].fingerprint
        for policy in POLICIES
    }
    assert len(prints) == len(POLICIES)
    with pytest.raises(UserError, match="'int8' is not one of fp32, bf16"):
        study.resolve({"precision": "int8"})


@pytest.mark.parametrize("name", POLICIES)
def test_products_and_weights_have_their_precision_and_answers_are_float32(name: str) -> None:
    policy, task = POLICIES[name], small_task()
    seen: list[torch.dtype] = []
    with using(name):
        model = build(task.model, 0)
        for shown in (model, frozen_copy(model)):
            layer = shown.model.layers[0].mlp.down_proj
            layer.register_forward_hook(lambda _, given, out: seen.append(out.dtype))
            ids = torch.zeros(2, 4, dtype=torch.long)
            answer = shown(ids, output_hidden_states=True)
            assert answer.logits.dtype == torch.float32
            assert {states.dtype for states in answer.hidden_states} == {torch.float32}
            assert not torch.is_autocast_enabled("cpu")
    assert seen == [policy.products] * 2
    assert {p.dtype for p in model.parameters()} == {policy.weights}
    assert {p.dtype for p in build(task.model, 0).parameters()} == {torch.float32}


def test_a_pass_that_fails_leaves_no_autocast_behind() -> None:
    with using("bf16"):
        model = build(small_task().model, 0)
    with pytest.raises(IndexError):
        model(torch.full((1, 2), 10**6))
    assert not torch.is_autocast_enabled("cpu")
    model(torch.zeros(1, 2, dtype=torch.long))  # and nothing is left on the stack
    assert not torch.is_autocast_enabled("cpu")


def test_float32_is_left_alone() -> None:
    model = build(small_task().model, 0)
    assert prepared(model) is model
    assert not model._forward_hooks and not model._forward_pre_hooks


def test_the_scale_halves_after_an_overflow_and_doubles_after_peace() -> None:
    scale = LossScale(patience=3)
    scale.settle(False)
    assert (scale.factor, scale.skipped) == (2.0**15, 1)
    for _ in range(3):
        scale.settle(True)
    assert scale.factor == 2.0**16
    for _ in range(40):
        scale.settle(False)
    assert scale.exhausted


def test_the_scale_follows_torchs_own() -> None:
    theirs = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=4)
    ours = LossScale(patience=4)
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    for bad in (0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0):
        weight.grad = torch.tensor([math.inf if bad else 1.0])
        theirs.scale(torch.ones(1))
        theirs.step(optimizer)
        theirs.update()
        ours.settle(not bad)
        assert ours.factor == theirs.get_scale()


def test_gradients_from_before_are_not_divided_again() -> None:
    weights = [torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(3))]
    weights[0].grad = torch.full((2,), 5.0)
    with unscaled(weights, 8.0):
        (8.0 * 3.0 * weights[0].sum()).backward()
    assert weights[0].grad.tolist() == [8.0, 8.0]
    assert weights[1].grad is None


@pytest.mark.parametrize("clip", [1.0, 1e-3])
def test_a_scaled_step_is_the_plain_one(tmp_path: Path, clip: float) -> None:
    """Powers of two leave every bit: scaling and clipping together give what clipping alone gives."""
    trained = []
    for policy in ("fp32", "fp16"):
        run = context(tmp_path, precision=policy)
        model = run.fresh_model()  # in float32 both: only the loop differs
        batches = run.batches(run.task.train["retain"], 16, "retain")

        def loss(k: int, model: Any = model, batches: Any = batches) -> torch.Tensor:
            batch = batches(k)
            return torch.nn.functional.cross_entropy(scored_logits(model, batch), batch.targets)

        train(model, loss, run, steps=3, learning_rate=1e-3, clip=clip, accumulate=2)
        trained.append(list(model.parameters()))
    for one, other in zip(*trained, strict=True):
        torch.testing.assert_close(one, other, atol=1e-7, rtol=1e-6)


def test_a_step_that_overflows_is_skipped_and_is_no_divergence(tmp_path: Path) -> None:
    kept = Kept()
    run = context(tmp_path, sink=kept, precision="fp16")
    model = run.fresh_model()
    seen: list[float] = []
    weight = next(model.parameters())

    def loss(k: int) -> torch.Tensor:
        seen.append(float(weight.detach().sum()))
        value = sum(p.sum() for p in model.parameters())
        # The loss is finite; times 2^16 its gradient is not, times 2^15 it is.
        return value * (torch.finfo(torch.float32).max / 2.0**15.5 if k == 2 else 1.0)

    done = train(model, loss, run, steps=6, learning_rate=1e-3)
    assert done == 6
    assert seen[2] == seen[3] and len(set(seen)) == 5
    assert kept.values("skipped_steps", "train") == {1: 0, 2: 0, 3: 1, 4: 1, 5: 1, 6: 1}
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_gradients_that_no_scale_helps_are_a_divergence(tmp_path: Path) -> None:
    run = context(tmp_path, precision="fp16")
    model = run.fresh_model()
    weight = next(model.parameters())

    def loss(k: int) -> torch.Tensor:
        return (weight - weight.detach()).abs().sqrt().sum()  # 0, with an infinite slope

    with pytest.raises(RunFailed, match="overflowed under every loss scale up to step 31 of 50"):
        train(model, loss, run, steps=50, learning_rate=1e-3)


def test_a_loss_that_is_not_finite_fails_under_a_scale_too(tmp_path: Path) -> None:
    run = context(tmp_path, precision="fp16")
    model = run.fresh_model()
    with pytest.raises(RunFailed, match="step 1 of 5"):
        train(model, lambda k: next(model.parameters()).sum() * math.nan, run, steps=5, learning_rate=1e-3)  # fmt: skip


def test_lost_updates_are_weights_that_stay_although_they_should_not() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.bfloat16))
    optimizer = torch.optim.AdamW([weight], lr=1e-4, weight_decay=0.0)
    weight.grad = torch.tensor([1.0, 1.0, 0.0, 1.0], dtype=torch.bfloat16)
    before = [weight.detach().clone()]
    optimizer.step()  # 1 − 1e-4 is 1 in bfloat16, 0 − 1e-4 is not 0
    assert lost_updates(before, [weight], optimizer) == 0.5
    wide = torch.nn.Parameter(torch.ones(4))
    plain = torch.optim.SGD([wide], lr=1e-4)
    wide.grad = torch.tensor([1.0, 1.0, 0.0, 1e-9])
    before = [wide.detach().clone()]
    plain.step()
    assert lost_updates(before, [wide], plain) == 0.25


def test_a_smaller_learning_rate_loses_more_updates(tmp_path: Path) -> None:
    done(tmp_path, "b", "fp32")
    shares = []
    for name, rate in (("x", 1e-3), ("y", 1e-5)):
        kept = done(tmp_path, name, "pure_bf16", "suppress", "max_ent", parent="b", steps=5, learning_rate=rate)  # fmt: skip
        curve = kept.values("zero_updates", "train")
        assert set(curve) == {1, 2, 3, 4, 5}
        shares.append(sum(v for v in curve.values() if v is not None) / 5)
    assert shares[1] > 0.8 > shares[0]
    assert not done(tmp_path, "z", "bf16", "suppress", "max_ent", parent="b", steps=5).values("zero_updates", "train")  # fmt: skip


@pytest.mark.parametrize("policy", ["bf16", "fp16", "pure_bf16"])
def test_resumed_runs_equal_uninterrupted_ones_bit_for_bit(tmp_path: Path, policy: str) -> None:
    done(tmp_path, "b", "fp32")
    whole = done(tmp_path, "w", policy, "suppress", "max_ent", parent="b", steps=4)
    with pytest.raises(Cancelled):
        done(tmp_path, "r", policy, "suppress", "max_ent", Kept(stop_after=2), parent="b", steps=4)
    kept = checkpoints.directory(tmp_path, "r") / checkpoints.RESUME
    tensors, header = checkpoints.read(kept)
    weights = {name: t for name, t in tensors.items() if "/" not in name}
    assert {t.dtype for t in weights.values()} == {POLICIES[policy].weights}
    assert (header["scale"] is not None) == POLICIES[policy].scales
    resumed = done(tmp_path, "r", policy, "suppress", "max_ent", parent="b", steps=4)
    one, other = stored(tmp_path, "w"), stored(tmp_path, "r")
    assert {t.dtype for t in one.values()} == {POLICIES[policy].weights}
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert resumed.values("loss", "train")[4] == whole.values("loss", "train")[4]


def test_a_kept_scale_comes_back(tmp_path: Path) -> None:
    """An overflow before the interruption: the resumed run goes on with the smaller scale."""
    run = context(tmp_path, sink=Kept(stop_after=4), precision="fp16", fresh=False)
    model = run.fresh_model()

    def loss(k: int) -> torch.Tensor:
        return sum(p.sum() for p in model.parameters()) * (1e34 if k == 1 else 1.0)  # type: ignore[return-value]

    with pytest.raises(Cancelled):
        train(model, loss, run, steps=8, learning_rate=1e-3)
    again = Kept()
    run = context(tmp_path, sink=again, precision="fp16", fresh=False)
    train(model, loss, run, steps=8, learning_rate=1e-3)
    assert again.values("skipped_steps", "train") == {5: 1, 6: 1, 7: 1, 8: 1}


def test_bf16_follows_float32_and_pure_fp16_does_not_get_far(tmp_path: Path) -> None:
    plain = done(tmp_path, "a", "fp32").values("loss", "train")
    close = done(tmp_path, "c", "bf16").values("loss", "train")
    assert first_divergence(plain, close, 0.02) is None
    assert first_divergence(plain, close, 1e-7) == 1
    with pytest.raises(RunFailed, match="not finite at step"):
        done(tmp_path, "d", "pure_fp16")


def test_where_curves_part() -> None:
    one = {1: 1.0, 2: 2.0, 4: 3.0}
    assert first_divergence(one, {1: 1.0, 2: 2.1, 3: 9.0, 4: 5.0}, 0.5) == 4
    assert first_divergence(one, {1: 1.0, 2: math.nan, 4: 3.0}, 0.5) == 2
    assert first_divergence(one, {1: 1.0, 2: 2.0}, 0.0) is None


def test_equivalence_takes_small_differences_and_little_spread() -> None:
    same, (low, high) = equivalent([0.01, -0.01, 0.0], 0.05)
    assert same and low == pytest.approx(-high) and high == pytest.approx(0.01686, abs=1e-4)
    assert not equivalent([0.04, 0.05, 0.06], 0.05)[0]
    assert not equivalent([0.2, -0.2, 0.0], 0.05)[0]


def test_the_policy_of_a_run_ends_with_it(tmp_path: Path) -> None:
    done(tmp_path, "b", "pure_bf16")
    assert precision._current == ["fp32"]


@pytest.mark.slow
def test_the_small_study_is_the_same_in_bf16() -> None:
    from backend.benchmarks import precision as bench

    figures = bench.study_figures()
    assert len(figures) == 8
    # Three seeds bound what is left of the forget set no closer than ±0.1, and a processor's own order of sums moves it:
    # its interval is not asked to fit the margin.
    assert (figures["mean"].abs() <= bench.MARGIN).all(), figures.to_string()
    calm = ~figures["figure"].str.contains("attacked|maxent forget|undo forget")
    assert figures["same"][calm].all(), figures.to_string()


def test_a_copy_of_a_model_under_a_policy_stands_alone() -> None:
    with using("bf16"):
        model = build(small_task().model, 0)
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for weight in copied.parameters():
            weight.zero_()
    ids = torch.zeros(1, 3, dtype=torch.long)
    assert copied(ids).logits.abs().max() == 0
    assert model(ids).logits.abs().max() > 0
