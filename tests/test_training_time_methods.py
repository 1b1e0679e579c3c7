"""Methods at training time: gradients go where the papers say, and what was cut is gone."""

import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend import plan, results, study, worker
from backend.checkpoints import read
from backend.context import RunContext
from backend.data import Examples
from backend.labels import observed
from backend.methods.conditional_training import after_token
from backend.methods.parameter_routing import designated, masked_loss, without
from backend.pretraining import answer_loss, labelled_share
from backend.routing import (
    Scheme,
    _share,
    ablated,
    all_tokens,
    expanded,
    routed,
    token_weights,
    weights_of,
)
from backend.stage import Cancelled, StageRequest, UserError
from db import reads, writes
from db.session import require_database
from tests import small
from tests.small import Kept, do, small_task
from tests.small_study import SETTING

torch.set_num_threads(1)
METHODS = ("data_filtering", "conditional_training", "gradient_routing", "parameter_routing")


context = partial(small.context, stage="pretrain")


def weights(home: Path, name: str) -> dict[str, torch.Tensor]:
    return read(home / "checkpoints" / name / "model.safetensors")[0]


def batch_of(run: RunContext, part: str = "forget", size: int = 12) -> Any:
    return run.loader(run.task.train[part]).batch(slice(0, size))


def gradients(model: Any, batch: Any, mask: torch.Tensor | None) -> dict[str, torch.Tensor]:
    model.zero_grad()
    with routed(model, mask, 2):
        answer_loss(model, batch).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def test_masks_of_ones_are_plain_training_bit_for_bit(tmp_path: Path) -> None:
    run = context(tmp_path)
    model, batch = run.fresh_model(), batch_of(run)
    ones = torch.ones(12, 4, 256)
    plain, masked = gradients(model, batch, None), gradients(model, batch, ones)
    assert all(torch.equal(plain[name], masked[name]) for name in plain)


def test_a_mask_gates_the_rows_into_its_neurons_and_nothing_behind_them(tmp_path: Path) -> None:
    """The gradient table: W_in rows times m, W_out, the skip path and other layers' own paths not gated."""
    run = context(tmp_path)
    model, batch = run.fresh_model(), batch_of(run)
    mask = torch.ones(12, 4, 256)
    mask[..., :100] = -0.75
    plain, gated = gradients(model, batch, None), gradients(model, batch, mask)
    last = "model.layers.1.mlp."  # no masked layer comes after it, so its factors are exact
    for name in ("gate_proj.weight", "up_proj.weight"):
        torch.testing.assert_close(gated[last + name][:100], -0.75 * plain[last + name][:100])
        torch.testing.assert_close(gated[last + name][100:], plain[last + name][100:])
    torch.testing.assert_close(gated[last + "down_proj.weight"], plain[last + "down_proj.weight"])
    torch.testing.assert_close(gated["model.norm.weight"], plain["model.norm.weight"])
    assert not torch.allclose(gated["model.layers.0.mlp.up_proj.weight"], plain["model.layers.0.mlp.up_proj.weight"])  # fmt: skip


def test_a_mask_of_zeros_stops_the_gradient_and_keeps_the_values(tmp_path: Path) -> None:
    run = context(tmp_path)
    model, batch = run.fresh_model(), batch_of(run)
    with torch.no_grad():
        plain = answer_loss(model, batch)
        with routed(model, torch.zeros(12, 4, 256), 2) as seen:
            torch.testing.assert_close(answer_loss(model, batch), plain)
    assert [tuple(a.shape) for a in seen] == [(12, 4, 256)] * 2
    stopped = gradients(model, batch, torch.zeros(12, 4, 256))
    assert not stopped["model.layers.1.mlp.up_proj.weight"].any()
    assert stopped["model.layers.1.mlp.down_proj.weight"].any()


def test_token_weights_are_those_of_the_papers_table() -> None:
    rows = {(73.1, 18.7): 0.585, (10.3, 3.6): 0.810, (13.2, 5.9): 0.901, (23.4, 38.2): 0.993}
    for (forget, retain), expected in rows.items():
        found = weights_of(np.array([forget / retain]))[0]
        assert found == pytest.approx(expected, abs=0.007)  # the table's own shares are rounded
    assert weights_of(np.array([2 + 5**0.5]))[0] == pytest.approx(0.5)
    assert weights_of(np.array([1.0]))[0] == pytest.approx(0.982, abs=1e-3)


def test_token_shares_count_the_text_and_not_what_fills_it_up() -> None:
    rows = np.array([[5, 6, 7, 0, 0], [5, 6, 8, 9, 4]])
    targets = np.array([[-100, 7, 3, -100, -100], [-100, -100, 9, 4, 2]])
    shares = _share(Examples(rows, targets), 10, 0.0)
    text = [5, 6, 7, 3] + [5, 6, 8, 9, 4, 2]
    assert shares.tolist() == [text.count(token) / len(text) for token in range(10)]


def test_token_weights_see_observed_labels_only() -> None:
    task = small_task()
    times = task.words.index("×")
    whole, few = token_weights(task), token_weights(observed(task, 0.05))
    assert whole[times] < 0.3 and few[times] > 0.9


def test_every_position_has_its_next_token(tmp_path: Path) -> None:
    run = context(tmp_path)
    batch = batch_of(run)
    following = all_tokens(batch)
    assert torch.equal(following[:, :-1], batch.input_ids[:, 1:])
    assert torch.equal(following[:, -1], batch.targets)


def test_the_scheme_mixes_forget_and_retain_weights_by_token() -> None:
    retain = torch.tensor([[0.0, 0.5, 1.0]])
    mask = Scheme(-0.75, 1.0, 1.0, 1.0).mask(retain, 2, 1)
    assert mask is not None
    assert mask[0].tolist() == [[-0.75, -0.75, 1.0], [0.125, 0.125, 1.0], [1.0, 1.0, 1.0]]
    assert Scheme(-0.75, 1.0, 1.0, 1.0).mask(torch.ones(1, 3), 2, 1) is None
    other = Scheme(0.0, 1.0, 1.0, 0.0).mask(torch.ones(1, 1), 1, 1)
    assert other is not None and other.tolist() == [[[1.0, 0.0]]]


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_the_cut_equals_zeroed_extra_neurons_and_undoes_the_expansion(
    tmp_path: Path, family: str
) -> None:
    model = RunContext(
        StageRequest("pretrain", "x", {}, {"name": "arithmetic"}, 0, "fp32", "abc", tmp_path),
        small_task(family=family),
        Kept(),
        torch.device("cpu"),
    ).fresh_model()
    wide = expanded(model, 16, 1, np.random.default_rng(0))
    sizes = [block.mlp.up_proj.weight.shape[0] for block in wide.model.layers]
    assert sizes == [256 + 16, 256]
    small = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.zero_()
        ablated(wide, small)
        assert all(map(torch.equal, small.parameters(), model.parameters()))
        ids = torch.randint(0, 30, (5, 4))
        before = wide(ids).logits
        wide.model.layers[0].mlp.down_proj.weight[:, 256:] = 0.0
        torch.testing.assert_close(wide(ids).logits, small(ids).logits)
        assert not torch.allclose(before, small(ids).logits, atol=1e-6)


def test_designated_weights_alone_learn_from_labelled_items(tmp_path: Path) -> None:
    run = context(tmp_path)
    model, batch = run.fresh_model(), batch_of(run)
    masks = designated(model, 32)
    plain = gradients(model, batch, None)
    model.zero_grad()
    loss = masked_loss(model, batch, masks)
    assert loss.item() == pytest.approx(answer_loss(model, batch).item())
    loss.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, plain[name] * masks[name], atol=1e-7, rtol=1e-4)
    assert 0.0 < sum(m.sum() for m in masks.values()) / sum(m.numel() for m in masks.values()) < 0.1


def test_other_items_see_the_model_as_it_will_be_after_the_cut(tmp_path: Path) -> None:
    run = context(tmp_path)
    model, batch = run.fresh_model(), batch_of(run, "retain")
    masks = designated(model, 32)
    loss = without(model, batch, masks)
    loss.backward()
    for name, parameter in model.named_parameters():
        assert not parameter.grad[masks[name].bool()].any()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(1.0 - masks[name])
        assert answer_loss(model, batch).item() == pytest.approx(loss.item(), rel=1e-5)


def test_a_control_token_shifts_the_question_and_scores_nothing() -> None:
    examples = small_task().train["forget"]
    marked = after_token(examples, 9)
    assert (marked.input_ids[:, 0] == 9).all() and (marked.targets[:, 0] == -100).all()
    assert np.array_equal(marked.input_ids[:, 1:], examples.input_ids)
    assert np.array_equal(marked.targets[:, 1:], examples.targets)


def test_batches_hold_forget_items_by_the_share_that_is_labelled() -> None:
    task = small_task()
    assert labelled_share(task) == (16, 16)
    assert labelled_share(observed(task, 0.25)) == (4, 28)
    assert labelled_share(observed(task, 0.001)) == (1, 31)


def test_filtering_sees_no_labelled_forget_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with all labels it is the oracle's training, in an order of its own."""
    drawn: list[int] = []
    monkeypatch.setattr(RunContext, "batches", recorded(RunContext.batches, drawn))
    do(tmp_path, "filtered", "pretrain", "data_filtering")
    do(tmp_path, "oracle", "oracle")
    assert drawn == [72, 72]  # both draw from the 6 · 6 · 2 retain facts alone
    filtered, oracle = weights(tmp_path, "filtered"), weights(tmp_path, "oracle")
    assert any(not torch.equal(filtered[key], oracle[key]) for key in oracle)


def recorded(batches: Any, drawn: list[int]) -> Any:
    def draw(self: RunContext, examples: Examples, size: int, purpose: str) -> Any:
        drawn.append(len(examples))
        return batches(self, examples, size, purpose)

    return draw


@pytest.mark.parametrize("name", METHODS)
def test_a_method_makes_a_model_of_the_bases_shape_from_scratch(tmp_path: Path, name: str) -> None:
    outcome, _ = do(tmp_path, "made", "pretrain", name)
    do(tmp_path, "base", "base")
    made, base = weights(tmp_path, "made"), weights(tmp_path, "base")
    assert {k: w.shape for k, w in made.items()} == {k: w.shape for k, w in base.items()}
    assert any(not torch.equal(made[key], base[key]) for key in base)
    assert outcome.flops > 0


def test_routing_with_weights_of_one_is_the_control_bit_for_bit(tmp_path: Path) -> None:
    do(tmp_path, "off", "pretrain", "gradient_routing", routing=False)
    do(tmp_path, "ones", "pretrain", "gradient_routing", original_on_forget=1.0)
    off, ones = weights(tmp_path, "off"), weights(tmp_path, "ones")
    assert all(torch.equal(off[key], ones[key]) for key in off)


def test_routing_off_is_another_model_and_designated_weights_end_at_zero_or_retrained(
    tmp_path: Path,
) -> None:
    do(tmp_path, "on", "pretrain", "gradient_routing", coherence_steps=0)
    do(tmp_path, "off", "pretrain", "gradient_routing", coherence_steps=0, routing=False)
    on, off = weights(tmp_path, "on"), weights(tmp_path, "off")
    assert any(not torch.equal(on[key], off[key]) for key in on)
    do(tmp_path, "sgtm", "pretrain", "parameter_routing", neurons=8)
    made = weights(tmp_path, "sgtm")
    assert not made["model.layers.0.mlp.down_proj.weight"][:, -8:].any()


def test_an_interrupted_cut_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """Cancelled in the first training and in the second: both times the result is the uninterrupted one."""
    parameters = {"coherence_steps": 10}
    whole, _ = do(tmp_path, "whole", "pretrain", "gradient_routing", **parameters)
    for name, stop in (("early", 20), ("late", 46)):
        with pytest.raises(Cancelled):
            sink = Kept(stop_after=stop)
            do(tmp_path, name, "pretrain", "gradient_routing", sink=sink, **parameters)
        outcome, _ = do(tmp_path, name, "pretrain", "gradient_routing", **parameters)
        one, other = weights(tmp_path, "whole"), weights(tmp_path, name)
        assert all(torch.equal(one[key], other[key]) for key in one)
        assert (outcome.steps, outcome.flops) == (whole.steps, whole.flops)


def test_a_study_with_training_time_methods_is_charged_their_whole_training() -> None:
    recipes = [
        {"pretrain": "data_filtering", "label_fraction": [0.5, 1.0]},
        {"pretrain": {"name": "gradient_routing", "coherence_steps": 5}},
        {
            "pretrain": "data_filtering",
            "suppress": {"name": "max_ent", "steps": 3},
            "label_fraction": 0.5,
        },
    ]
    attack = {"name": "relearn", "learning_rate": [1e-3], "steps": 10}
    source = {"name": "routing", "setting": SETTING, "recipes": recipes, "attacks": [attack]}
    resolved = study.resolve(source)
    made = [run for run in resolved.runs if run.stage == "pretrain"]
    assert len(made) == 3 and all(run.parent is None for run in made)
    engine = require_database()
    writes.submit(
        engine, name="routing", document=resolved.document, runs=plan.as_rows(resolved.runs)
    )
    assert worker.work(engine, slots=1, until_idle=True)
    rows = {r["configuration"]: r for r in results.frontier_document(engine, "routing")["rows"]}
    assert rows["Filtering"]["compute"]["mean"] == pytest.approx(1.0, rel=0.01)
    assert rows["Filtering (labels 0.5)"]["compute"]["mean"] == pytest.approx(1.0, rel=0.01)
    assert rows["Routing (coherence_steps 5)"]["compute"]["mean"] > 1.0
    both = rows["Filtering (labels 0.5) → MaxEnt (steps 3, labels 0.5)"]
    assert both["compute"]["mean"] > rows["Filtering (labels 0.5)"]["compute"]["mean"]
    assert reads.counts(engine)["failed"] == 0


def test_a_search_of_a_training_time_method_is_judged_by_the_base() -> None:
    search = {
        "trials": 2,
        "space": {"coherence_rate": [1e-4, 1e-2]},
    }
    recipe = {"pretrain": {"name": "gradient_routing", "coherence_steps": 5}, "search": search}
    attack = {"name": "relearn", "learning_rate": [1e-3], "steps": 10}
    source = {"name": "searched", "setting": SETTING, "recipes": [recipe], "attacks": [attack]}
    resolved = study.resolve(source)
    (chosen,) = [run for run in resolved.runs if "search" in run.parameters]
    (base,) = [run for run in resolved.runs if run.stage == "base"]
    assert chosen.parent is None and chosen.inputs["base"] == [base.fingerprint]
    engine = require_database()
    writes.submit(
        engine, name="searched", document=resolved.document, runs=plan.as_rows(resolved.runs)
    )
    assert worker.work(engine, slots=1, until_idle=True)
    (row,) = [r for r in results.frontier_document(engine, "searched")["rows"] if r["stages"]]
    assert row["compute"]["mean"] > 1.0 and row["search_flops"] > row["flops"]
    assert row["robust_forget_quality"]["mean"] is not None


def test_options_do_not_go_with_training_from_scratch() -> None:
    recipe = {"pretrain": {"name": "data_filtering", "mask": "wagle"}}
    with pytest.raises(UserError, match="takes no option"):
        study.resolve({"name": "x", "setting": SETTING, "recipes": [recipe]})
