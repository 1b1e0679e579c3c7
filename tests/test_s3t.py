"""S3T: what is left after the deletion never saw a deleted item, bit for bit."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend import catalogue
from backend.checkpoints import read
from backend.context import RunContext
from backend.data import Examples, Task
from backend.flops import training_flops
from backend.labels import observed
from backend.methods.s3t import clean, s3t
from backend.slices import Additions, Plan, places, sliced
from backend.stage import Cancelled, RunFailed
from tests import small
from tests.small import Kept, do, small_task

torch.set_num_threads(1)
QUICK = {"public": 0.5, "steps": 6}
Weights = dict[str, torch.Tensor]


def tiny(**parameters: Any) -> Task:
    return small_task(**{"base_steps": 8, **parameters})


context = partial(small.context, stage="pretrain")


def made(home: Path, task: Task, **parameters: Any) -> tuple[Weights, RunContext]:
    run = context(home, task)
    model = s3t(run.fresh_model(), task, run, **{**QUICK, **parameters})
    return {name: weight.detach() for name, weight in model.named_parameters()}, run


def equal(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def with_forget(task: Task, forget: Examples) -> Task:
    return replace(task, train={**task.train, "forget": forget})


def planned(task: Task, home: Path, **parameters: Any) -> Plan:
    chosen: dict[str, Any] = {
        "public": 0.5,
        "shards": 1,
        "slices": 4,
        "sequences": 1,
        "placement": "last",
        "cumulative": False,
        **parameters,
    }
    return sliced(task, context(home, task), **chosen)


def rows(examples: Examples) -> set[tuple[int, ...]]:
    joint = np.concatenate([examples.input_ids, examples.targets], axis=1)
    return {tuple(row) for row in joint.tolist()}


def last_slices(home: Path, task: Task, shards: int) -> int:
    """How many slices of a shard hold no forget item, the same in every shard."""
    (length,) = {length for _, _, length in clean(planned(task, home, shards=shards))}
    assert 0 < length < 4
    return length


@pytest.mark.parametrize("cumulative", [True, False])
@pytest.mark.parametrize("shards", [1, 2])
def test_deletion_equals_a_training_without_the_deleted_slices(
    tmp_path: Path, shards: int, cumulative: bool
) -> None:
    task = observed(tiny(), 0.5)
    never = with_forget(task, task.train["forget"].take(np.arange(0)))
    length = last_slices(tmp_path, task, shards)
    deleted, run = made(tmp_path, task, shards=shards, cumulative=cumulative)
    retrained, other = made(tmp_path, never, shards=shards, slices=length, cumulative=cumulative)
    assert equal(deleted, retrained)
    assert run.meter.flops > other.meter.flops
    assert f"{shards * length} of {shards * 4} adapters were left" in run.notes[0]
    backbone = run.tensors["backbone/model.layers.1.mlp.up_proj.weight"]
    assert not torch.equal(deleted["model.layers.1.mlp.up_proj.weight"], backbone)


@pytest.mark.parametrize("placement", ["random", "last"])
def test_the_deleted_items_content_leaves_no_trace(tmp_path: Path, placement: str) -> None:
    task = observed(tiny(), 0.02)  # one labelled item: a random slice
    forget = task.train["forget"]
    other = replace(forget, targets=np.where(forget.targets >= 0, 1, forget.targets))
    one, run = made(tmp_path, task, placement=placement, sequences=2)
    two, twin = made(tmp_path, with_forget(task, other), placement=placement, sequences=2)
    assert equal(one, two) and run.notes[0].split(";")[0] == twin.notes[0].split(";")[0]
    learnt = [
        name for name in run.tensors if not torch.equal(run.tensors[name], twin.tensors[name])
    ]
    assert learnt  # the adapters that were switched off differ


def test_with_forget_items_everywhere_the_backbone_alone_is_left(tmp_path: Path) -> None:
    task = tiny()
    weights, run = made(tmp_path, task, placement="random")
    backbone = {n: run.tensors[f"backbone/{n}"] for n in weights}
    assert equal(weights, backbone) and run.notes[0].startswith("0 of 4")
    assert not equal(weights, dict(run.fresh_model().named_parameters()))


def test_later_slices_change_no_earlier_adapter(tmp_path: Path) -> None:
    task = observed(tiny(), 0.5)
    _, short = made(tmp_path, task, slices=4, placement="random")
    changed = Additions.learn

    def upset(self: Any, before: Any, examples: Examples, size: int, **options: Any) -> None:
        if before[2] >= 2:
            options["learning_rate"] = 0.1
        changed(self, before, examples, size, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Additions, "learn", upset)
        _, long = made(tmp_path, task, slices=4, placement="random")
    same = {n: torch.equal(short.tensors[n], long.tensors[n]) for n in short.tensors}
    early = [n for n in same if n.startswith(("backbone/", "0/0/0/", "0/0/1/"))]
    late = [n for n in same if n.startswith(("0/0/2/", "0/0/3/"))]
    assert all(same[n] for n in early) and not any(same[n] for n in late)
    assert all(short.tensors[n].any() for n in same if n.endswith("/b"))  # every adapter learnt


def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """Cancelled in the backbone, in the first shard's and in the second shard's adapters."""
    parameters = {**QUICK, "shards": 2, "slices": 2, "labels": {"fraction": 0.5}}
    whole, _ = do(tmp_path, "whole", "pretrain", "s3t", **parameters)
    one = read(tmp_path / "checkpoints" / "whole" / "model.safetensors")[0]
    for name, stop in (("backbone", 20), ("first", 43), ("second", 62)):
        with pytest.raises(Cancelled):
            do(tmp_path, name, "pretrain", "s3t", sink=Kept(stop_after=stop), **parameters)
        outcome, _ = do(tmp_path, name, "pretrain", "s3t", **parameters)
        assert equal(one, read(tmp_path / "checkpoints" / name / "model.safetensors")[0])
        assert (outcome.steps, outcome.flops) == (whole.steps, whole.flops)
        assert outcome.note == whole.note


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_the_result_has_the_bases_shape_and_is_free_to_learn(tmp_path: Path, family: str) -> None:
    task = observed(tiny(family=family, base_steps=4), 0.5)
    run = context(tmp_path, task)
    model = s3t(run.fresh_model(), task, run, slices=2, modules=2, **QUICK)
    base = run.fresh_model().state_dict()
    assert {n: w.shape for n, w in model.state_dict().items()} == {
        n: w.shape for n, w in base.items()
    }
    assert all(weight.requires_grad for weight in model.parameters())


def test_adapters_sit_on_modules_from_the_top_downward(tmp_path: Path) -> None:
    model = context(tmp_path, tiny()).fresh_model()
    found = places(model, 4, 1)
    blocks = [{name.rsplit(".", 1)[0] for name in names} for names in found]
    top, bottom = "model.layers.1.", "model.layers.0."
    assert blocks == [{top + "mlp"}, {top + "self_attn"}, {bottom + "mlp"}, {bottom + "self_attn"}]
    assert [len(names) for names in found] == [3, 4, 3, 4]
    assert places(model, 2, 2) == [found[0] + found[1], found[2] + found[3]]


@pytest.mark.parametrize("placement", ["random", "last"])
def test_slices_and_shards_are_disjoint_and_hold_every_item_once(
    tmp_path: Path, placement: str
) -> None:
    task = observed(tiny(), 0.5)
    plan = planned(task, tmp_path, shards=2, placement=placement)
    parts = [lesson.examples for orders in plan.shards for lesson in orders[0]]
    assert len(parts) == 8
    assert sum(map(len, parts)) + len(plan.public) == sum(map(len, task.train.values()))
    together = set().union(*map(rows, parts))
    assert len(together) == sum(map(len, parts)) and not together & rows(plan.public)
    labelled = rows(task.train["forget"])
    assert not labelled & rows(plan.public)
    for orders in plan.shards:
        met = [bool(labelled & rows(lesson.examples)) for lesson in orders[0]]
        assert [lesson.clean for lesson in orders[0]] == [not any(met[: i + 1]) for i in range(4)]
        assert placement == "random" or met == sorted(met)


def test_cumulative_lessons_hold_the_slices_before_them(tmp_path: Path) -> None:
    task = observed(tiny(), 0.5)
    alone = planned(task, tmp_path).shards[0][0]
    grown = planned(task, tmp_path, cumulative=True).shards[0][0]
    for i, lesson in enumerate(grown):
        assert rows(lesson.examples) == set().union(*(rows(a.examples) for a in alone[: i + 1]))
        assert lesson.clean == alone[i].clean


def test_the_sequence_with_the_longest_clean_start_wins(tmp_path: Path) -> None:
    """One deleted item: of all rotations one has its slice at the end, and loses a single adapter."""
    task = observed(tiny(), 0.02)
    task = with_forget(task, task.train["forget"].take(np.arange(1)))
    plan = planned(task, tmp_path, sequences=4, placement="random")
    ((_, best, length),) = clean(plan)
    assert length == 3 and not plan.shards[0][best][3].clean
    one = planned(task, tmp_path, placement="random")
    assert one.shards[0][0][0].examples.input_ids.tolist() == (
        plan.shards[0][0][0].examples.input_ids.tolist()
    )


def test_two_shards_are_the_mean_of_their_merged_weights(tmp_path: Path) -> None:
    task = observed(tiny(), 0.5)
    run = context(tmp_path, task)
    model = run.fresh_model()
    where = places(model, 1, 1)
    additions = Additions(model, run, where, rank=2, alpha=4.0)
    for shard in (0, 1):
        additions.learn((shard, 0, 0), task.train["retain"], 8, steps=3, learning_rate=1e-2)
    name = where[0][0] + ".weight"
    weights = []
    for prefixes in ([(0, 0, 1)], [(1, 0, 1)], [(0, 0, 1), (1, 0, 1)], [(0, 0, 0), (1, 0, 1)]):
        additions.set(prefixes)
        weights.append(dict(model.named_parameters())[name].clone())
    one, two, both, half = weights
    assert not torch.allclose(one, two)
    torch.testing.assert_close(both, (one + two) / 2)
    torch.testing.assert_close(half, (run.tensors[f"backbone/{name}"] + two) / 2)
    assert torch.linalg.matrix_rank(one - run.tensors[f"backbone/{name}"], atol=1e-5) == 2


def test_every_training_is_charged_and_the_deletion_is_free(tmp_path: Path) -> None:
    task = observed(tiny(), 0.5)
    _, run = made(tmp_path, task, shards=2, slices=3, sequences=2, batch_size=16)
    config, length = run.fresh_model().config.to_dict(), task.train["retain"].input_ids.shape[1]
    size, steps = task.base_training["batch_size"], task.base_training["steps"]
    adapter = training_flops(config, 16, length, 1)
    expected = steps * training_flops(config, size, length, 1) + 2 * 2 * 3 * 6 * adapter
    assert run.meter.flops == pytest.approx(expected)
    assert run.steps == steps + 2 * 2 * 3 * 6


def test_what_was_known_before_and_what_was_left_are_recorded(tmp_path: Path) -> None:
    task = observed(tiny(), 0.5)
    _, run = made(tmp_path, task)
    kept = run.sink
    assert isinstance(kept, Kept)
    assert kept.values("answer_accuracy", "forget_validation").keys() == {run.steps}
    assert kept.values("adapters_left", "model") == {run.steps: last_slices(tmp_path, task, 1)}


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"slices": 5}, "5 slices of 1 modules do not fit on the model's 4 MLP and attention"),
        ({"slices": 3, "modules": 2}, "3 slices of 2 modules do not fit"),
        ({"public": 0.0}, "leaves 0 of"),
        ({"public": 1.0}, "too few for"),
        ({"shards": 40}, "too few for 40 × 4 slices"),
        ({"sequences": 5}, "5 sequences are more than the 4 rotations"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    tmp_path: Path, parameters: dict[str, Any], sentence: str
) -> None:
    task = observed(tiny(), 0.5)
    run = context(tmp_path, task)
    with pytest.raises(RunFailed, match=sentence):
        s3t(run.fresh_model(), task, run, **{**QUICK, **parameters})
    assert run.meter.flops == 0 and run.phase == -1


def test_the_catalogue_shows_it() -> None:
    part = catalogue.part("methods", "s3t")
    assert part.declared["stage"] == "pretrain"
    assert all(parameter.help for parameter in part.parameters)
