"""Teachers whose states are made once, steps of several uneven batches, agreement over parts, and remedies for memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend import chunked, distillation, teacher_outputs
from backend.chunked import head_of
from backend.context import Batches
from backend.data import IGNORE, Examples
from backend.distillation import Stream, agree, distill_outputs
from backend.ensemble import Ensemble
from backend.flops import forward_flops
from backend.losses import forward_divergence
from backend.models import build, frozen_copy, scored_logits
from backend.precision import using
from backend.remedies import out_of_memory
from backend.stage import RunFailed
from backend.teacher_outputs import Remembered
from backend.training import train
from tests.small import Kept, context, small_task

torch.set_num_threads(1)


def ragged(count: int = 12, length: int = 5) -> Examples:
    """Rows of which one to all positions are scored."""
    numbers = np.random.default_rng(0)
    ids = numbers.integers(2, 20, size=(count, length + 1))
    targets = ids[:, 1:].copy()
    for row, targets_of in enumerate(targets):
        targets_of[: row % length] = IGNORE
    return Examples(ids[:, :-1], targets)


def remembered(run: Any, teacher: Any, batches: Batches) -> Remembered:
    head = head_of(teacher)
    assert head is not None
    return Remembered(teacher, head, batches, run)


@pytest.mark.parametrize("policy", ["fp32", "bf16"])
def test_remembered_states_give_the_teachers_divergence(tmp_path: Path, policy: str, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(teacher_outputs, "TOKENS", 20)  # four rows a pass, so that places matter
    with using(policy):
        run = context(tmp_path, precision=policy)
        student, teacher = run.fresh_model(), frozen_copy(build(run.task.model, 7))
    for examples in (ragged(), run.task.train["forget"]):
        batches = run.batches(examples, 5, "x")
        kept = remembered(run, teacher, batches)
        assert kept.states.dtype == {"fp32": torch.float32, "bf16": torch.bfloat16}[policy]
        for k in range(4):
            batch = batches(k)
            head = head_of(student)
            assert head is not None
            ours = kept.divergence(student, head, k)
            plain = forward_divergence(
                scored_logits(teacher, batch).detach(), scored_logits(student, batch)
            )
            torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-4)
            mine, theirs = (
                torch.autograd.grad(loss, list(student.parameters())) for loss in (ours, plain)
            )
            if policy == "fp32":
                for one, other in zip(mine, theirs, strict=True):
                    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_the_body_is_charged_once_and_the_head_at_every_use(tmp_path: Path) -> None:
    run = context(tmp_path)
    teacher = frozen_copy(run.fresh_model())
    batches = run.batches(run.task.train["forget"], 5, "x")
    config = teacher.config.to_dict()
    with run.meter.watching(teacher):
        kept = remembered(run, teacher, batches)
        rows, length = run.task.train["forget"].input_ids.shape
        once = forward_flops(config, rows, length, 0)
        assert run.meter.flops == pytest.approx(once, rel=1e-12)
        kept.of(0, torch.device("cpu"))
        head = 2 * config["vocab_size"] * config["hidden_size"] * 5
        assert run.meter.flops == pytest.approx(once + head, rel=1e-12)


def distilled(home: Path, outputs: str, teacher: Any = None, **more: Any) -> tuple[Any, Any, Kept]:
    kept = Kept()
    run = context(home, small_task(), kept, "robustify")
    student = build(run.task.model, 3)
    teacher = teacher or frozen_copy(build(run.task.model, 4))
    settings = {"steps": 12, "tolerance": 0.0, "retain_batch": 16, "forget_batch": 8, **more}
    distill_outputs(student, teacher, run.task, run, teacher_outputs=outputs, **settings)
    return student, run, kept


def test_a_student_is_the_same_whether_its_teacher_is_remembered_or_run_again(tmp_path: Path) -> None:  # fmt: skip
    again, run_again, _ = distilled(tmp_path, "recompute")
    cached, run_cached, _ = distilled(tmp_path, "cache")
    for one, other in zip(again.parameters(), cached.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-3)
    assert run_cached.meter.flops != run_again.meter.flops
    long_again, long_cached = (
        distilled(tmp_path, outputs, steps=40)[1].meter.flops for outputs in ("recompute", "cache")
    )
    assert long_cached < long_again  # many epochs: the teacher's body ran in the first only


def test_what_has_no_states_is_run_again_with_a_note(tmp_path: Path) -> None:
    task = small_task()
    members = [frozen_copy(build(task.model, seed)) for seed in (4, 5)]
    again, _, _ = distilled(tmp_path, "recompute", Ensemble(members))
    cached, run, _ = distilled(tmp_path, "cache", Ensemble(members))
    assert "run again at every step" in run.notes[0]
    assert all(map(torch.equal, again.parameters(), cached.parameters()))


def test_states_that_do_not_fit_name_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(teacher_outputs.os, "sysconf", lambda name: 1)
    with pytest.raises(RunFailed, match='teacher_outputs = "recompute"'):
        distilled(tmp_path, "cache")


@pytest.mark.parametrize("form", ["plain", "chunks"])
@pytest.mark.parametrize("kind", ["answers", "uniform", "teacher"])
def test_a_step_of_uneven_batches_is_that_of_all_their_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, form: str
) -> None:
    if form == "chunks":
        monkeypatch.setattr(chunked, "LARGE", 0)
    trained = []
    for size, accumulate in ((12, 1), (3, 4)):
        run = context(tmp_path)
        model, teacher = run.fresh_model(), frozen_copy(build(run.task.model, 7))
        batches = run.batches(ragged(), size, "x")
        order = batches.order.batch
        whole = [order(k) for k in range(accumulate)]
        assert sorted(np.concatenate(whole).tolist()) == list(range(12))

        def loss(k: int, model: Any = model, batches: Any = batches, teacher: Any = teacher) -> Any:
            if kind == "answers":
                return chunked.cross_entropy(model, batches(k))
            if kind == "uniform":
                return chunked.uniform_divergence(model, batches(k))
            return agree(model, teacher, batches(k))

        train(model, loss, run, steps=1, learning_rate=0.1, accumulate=accumulate, optimizer="sgd", clip=1e9)  # fmt: skip
        assert run.accumulate == 1
        trained.append(list(model.parameters()))
    for one, other in zip(*trained, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_even_batches_have_the_weight_one_exactly(tmp_path: Path) -> None:
    run = context(tmp_path)
    run.accumulate = 3
    even = run.batches(run.task.train["retain"], 5, "x")
    uneven = run.batches(ragged(), 4, "x")
    assert [even(k).weight for k in range(3)] == [1.0] * 3
    weights = [uneven(k).weight for k in range(3)]
    assert len(set(weights)) > 1 and sum(weights) == pytest.approx(3)


def test_agreement_over_parts_is_that_over_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    run = context(tmp_path)
    student, teacher = run.fresh_model(), frozen_copy(build(run.task.model, 7))
    streams = [
        Stream(teacher, run.batches(examples, 4, "x"), 4)
        for examples in (ragged(), ragged(7), run.task.train["retain"])
    ]
    whole = distillation._kl(student, streams)
    monkeypatch.setattr(distillation, "PASS", 15)
    assert distillation._kl(student, streams) == pytest.approx(whole, rel=1e-6)
    loaders = [stream.batches.loader for stream in streams]
    batches = [loader.batch(slice(None)) for loader in loaders]
    sums = [agree(student, teacher, b).item() * len(b.targets) for b in batches]
    assert whole == pytest.approx(sum(sums) / sum(len(b.targets) for b in batches), rel=1e-6)
    monkeypatch.setattr(distillation, "LOOKED_AT", 20)  # of many rows a regular sample
    assert distillation._kl(student, streams) != pytest.approx(whole, rel=1e-9)


def test_remedies_name_the_numbers_at_hand() -> None:
    torchs = torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 15 GiB"
    )
    row = {
        "parameters": {"retain_batch": 12, "forget_batch": 6, "accumulate": 2, "teacher_outputs": "cache"},
        "setting": {"parameters": {"gradient_checkpointing": False, "batch_size": 8}},
    }  # fmt: skip
    assert out_of_memory(torchs, row) == (
        "Out of memory (2.5 GiB more were asked for): use retain_batch = 6 and forget_batch = 3 (now 12 and 6) with"
        ' accumulate = 4 for the same step, teacher_outputs = "recompute", gradient_checkpointing = true in the setting,'
        " fewer slots or a smaller model."
    )
    base = {"parameters": {}, "setting": {"parameters": {"batch_size": 8}}}
    assert "batch_size = 4 in the setting (now 8), fewer slots" in out_of_memory(MemoryError(), base)  # fmt: skip
    assert "a smaller batch, fewer slots" in out_of_memory(MemoryError(), {})


def test_a_cpu_without_memory_is_told_so() -> None:
    from backend.child import explained

    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    sentence, _ = explained(caught.value, {"parameters": {"batch_size": 64, "accumulate": 1}})
    assert sentence.startswith("Out of memory (")
    assert "batch_size = 32 (now 64) with accumulate = 2" in sentence
