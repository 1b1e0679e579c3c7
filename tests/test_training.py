"""The training loop: against plain torch, resumed against uninterrupted, and its ledger."""

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from backend import checkpoints
from backend.batches import Loader
from backend.flops import layer_weights, training_flops
from backend.losses import cross_entropy
from backend.models import Meter, build, frozen_copy, scored_logits
from backend.schedules import factor
from backend.stage import Cancelled, RunFailed
from backend.training import train
from tests.small import Kept, context, do, small_task

torch.set_num_threads(1)


def test_the_loop_does_what_plain_torch_does(tmp_path: Path) -> None:
    run = context(tmp_path)
    batches = run.batches(run.task.train["retain"], 16, "retain")
    ours, plain = run.fresh_model(), run.fresh_model()

    def loss(k: int):
        batch = batches(k)
        return cross_entropy(scored_logits(ours, batch), batch.targets)

    train(ours, loss, run, steps=5, learning_rate=1e-3, weight_decay=0.1)
    matrices = [p for p in plain.parameters() if p.dim() > 1]
    gains = [p for p in plain.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": gains, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    for k in range(5):
        batch = batches(k)
        logits = plain(batch.input_ids).logits[:, -1]
        torch.nn.functional.cross_entropy(logits, batch.targets).backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-5)


def test_accumulated_halves_equal_the_whole_batch(tmp_path: Path) -> None:
    run = context(tmp_path)
    whole = run.batches(run.task.train["retain"], 16, "retain")
    halves = run.batches(run.task.train["retain"], 8, "retain")
    trained = []
    for batches, accumulate in ((whole, 1), (halves, 2)):
        model = run.fresh_model()

        def loss(k: int, model=model, batches=batches):
            batch = batches(k)
            return cross_entropy(scored_logits(model, batch), batch.targets)

        train(model, loss, run, steps=2, learning_rate=1e-3, accumulate=accumulate)
        trained.append(list(model.parameters()))
    for one, other in zip(*trained, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_cancelled_and_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    tmp_path: Path,
) -> None:
    whole, _ = do(tmp_path, "a1", "base")
    with pytest.raises(Cancelled):
        do(tmp_path, "b1", "base", sink=Kept(stop_after=17))
    assert checkpoints.resume_step(tmp_path, "b1") == 17
    resumed, _ = do(tmp_path, "b1", "base")
    one, _ = checkpoints.read(checkpoints.directory(tmp_path, "a1") / checkpoints.MODEL)
    other, _ = checkpoints.read(checkpoints.directory(tmp_path, "b1") / checkpoints.MODEL)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert whole.flops == resumed.flops
    assert (whole.steps, whole.tokens) == (resumed.steps, resumed.tokens)
    assert checkpoints.resume_step(tmp_path, "b1") == 0


def test_gradient_descent_with_momentum_is_torchs(tmp_path: Path) -> None:
    run = context(tmp_path)
    batches = run.batches(run.task.train["retain"], 16, "retain")
    ours, plain = run.fresh_model(), run.fresh_model()

    def loss(k: int):
        batch = batches(k)
        return cross_entropy(scored_logits(ours, batch), batch.targets)

    train(ours, loss, run, steps=5, learning_rate=0.1, optimizer="sgd", beta1=0.8)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.8)
    for k in range(5):
        batch = batches(k)
        logits = plain(batch.input_ids).logits[:, -1]
        torch.nn.functional.cross_entropy(logits, batch.targets).backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_an_optimiser_goes_on_with_whatever_state_it_has(tmp_path: Path, momentum: float) -> None:
    do(tmp_path, "a1", "base")
    settings = {"optimizer": "sgd", "beta1": momentum, "learning_rate": 0.1, "steps": 12}
    do(tmp_path, "w1", "suppress", "max_ent", parent="a1", **settings)
    with pytest.raises(Cancelled):
        stopped = Kept(stop_after=5)
        do(tmp_path, "r1", "suppress", "max_ent", parent="a1", sink=stopped, **settings)
    assert checkpoints.resume_step(tmp_path, "r1") == 5
    resume = checkpoints.directory(tmp_path, "r1") / checkpoints.RESUME
    kept = {name.partition("/")[0] for name in checkpoints.read(resume)[0] if "/" in name}
    assert kept == ({"momentum_buffer"} if momentum else set())
    do(tmp_path, "r1", "suppress", "max_ent", parent="a1", **settings)
    one, _ = checkpoints.read(checkpoints.directory(tmp_path, "w1") / checkpoints.MODEL)
    other, _ = checkpoints.read(checkpoints.directory(tmp_path, "r1") / checkpoints.MODEL)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_loss_that_is_not_finite_fails_with_its_step(tmp_path: Path) -> None:
    run = context(tmp_path)
    model = run.fresh_model()

    def loss(k: int):
        value = sum(p.sum() for p in model.parameters())
        return value * (float("nan") if k == 3 else 1.0)

    with pytest.raises(RunFailed, match="step 4 of 10"):
        train(model, loss, run, steps=10, learning_rate=1e-3)
    done = train(model, loss, run, steps=10, learning_rate=1e-3, tolerate_divergence=True)
    assert done == 3
    assert "last finite step" in run.notes[0]


def test_flops_match_a_hand_count_and_torchs_counter_on_the_quick_model() -> None:
    from backend.settings.arithmetic import arithmetic

    task = arithmetic()
    model = build(task.model, 0)
    loader = Loader(task.train["retain"], torch.device("cpu"))
    batch = loader.batch(slice(0, 256))
    meter = Meter()
    with meter.watching(model), FlopCounterMode(display=False) as counter:
        cross_entropy(scored_logits(model, batch), batch.targets).backward()
    assert layer_weights(task.model) == 4 * 64 * 64 + 3 * 64 * 256
    tokens, head = 256 * 4, 256 * 64 * len(task.words)
    hand = 3 * (2 * (2.0 * layer_weights(task.model) + 4 * 64 * 4) * tokens + 2 * head)
    assert meter.flops == hand == training_flops(task.model, 256, 4, 1)
    assert meter.flops == pytest.approx(counter.get_total_flops(), rel=0.05)


def test_a_teachers_pass_counts_its_forward_only() -> None:
    task = small_task()
    model = frozen_copy(build(task.model, 0))
    batch = Loader(task.train["retain"], torch.device("cpu")).batch(slice(0, 8))
    meter = Meter()
    with meter.watching(model):
        scored_logits(model, batch)
    assert meter.flops == training_flops(task.model, 8, 4, 1) / 3
    assert meter.tokens == 0


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "step", "wsd"])
def test_schedules_start_at_the_peak_and_end_at_their_share(schedule: str) -> None:
    assert factor(0, 100, schedule=schedule) == pytest.approx(1.0)
    expected = 1.0 if schedule == "constant" else 0.1
    assert factor(100, 100, schedule=schedule, final_share=0.1) == pytest.approx(expected)


def test_the_warm_up_rises_linearly_and_points_are_joined() -> None:
    assert [factor(k, 100, warmup=4) for k in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    points = [[0.0, 0.0], [0.5, 1.0], [1.0, 0.0]]
    assert factor(25, 100, schedule="points", points=points) == pytest.approx(0.5)
    assert factor(75, 100, schedule="points", points=points) == pytest.approx(0.5)


def test_batches_visit_every_example_once_an_epoch() -> None:
    from backend.data import Order

    order = Order(count=10, size=4, seed=0, purpose="x")
    seen = [int(i) for k in range(5) for i in order.batch(k)]
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]
    assert list(Order(10, 4, 0, "x").batch(3)) == seen[12:16]


def test_a_damaged_or_missing_input_is_one_sentence(tmp_path: Path) -> None:
    do(tmp_path, "a1", "base")
    path = checkpoints.directory(tmp_path, "a1") / checkpoints.MODEL
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunFailed, match="damaged"):
        do(tmp_path, "e1", "evaluate", parent="a1")
    with pytest.raises(RunFailed, match="missing"):
        do(tmp_path, "e1", "evaluate", parent="nothing")
