"""Several ranks do the step of one device: shares of batches, reduced gradients and scores, and what ends them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend import chunked
from backend.context import Batches
from backend.data import IGNORE, Examples
from backend.engines import devices
from backend.engines.devices import Devices
from backend.engines.local import default_slots
from backend.ranks import Team, at_work, by_items, by_rows, by_tokens, divided, team
from backend.stage import UserError
from backend.suppression import Step, suppress
from db import reads, writes
from tests.in_browser import wait_for
from tests.small import context
from tests.small_study import database, submit_real

torch.set_num_threads(1)
ROOT = Path(__file__).parent.parent


def ragged(rows: int = 23, length: int = 6) -> Examples:
    """Rows that differ in how many of their tokens are scored."""
    numbers = np.random.default_rng(0)
    inputs = numbers.integers(1, 20, (rows, length))
    targets = numbers.integers(1, 20, (rows, length))
    targets[numbers.random((rows, length)) < 0.4] = IGNORE
    targets[:, 2] = 5
    return Examples(inputs, targets)


def gradient(model: Any, loss: Any) -> torch.Tensor:
    model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("ranks", [2, 3, 5])
@pytest.mark.parametrize(("size", "accumulate"), [(6, 1), (7, 1), (7, 2), (2, 1)])
def test_the_mean_over_ranks_is_the_gradient_of_the_whole_step(
    tmp_path: Path, ranks: int, size: int, accumulate: int
) -> None:
    run = context(tmp_path)
    model = run.fresh_model()
    batches: Batches = run.batches(ragged(), size, "retain")
    run.accumulate = accumulate

    def step() -> torch.Tensor:
        losses = [chunked.cross_entropy(model, batches(k)) for k in range(accumulate)]
        return gradient(model, torch.stack(losses).mean())

    whole = step()
    seen: list[int] = []
    parts = []
    for rank in range(ranks):
        with at_work(Team(rank, ranks, dividing=True)):
            parts.append(step())
            seen += batches.rows(0).tolist() if batches(0).items_share else []
    torch.testing.assert_close(torch.stack(parts).mean(0), whole, atol=1e-6, rtol=1e-4)
    assert sorted(seen) == sorted(batches.order.batch(0).tolist()), "every row once"


@pytest.mark.parametrize("mark", [by_items, by_tokens])
def test_means_over_items_and_over_tokens_are_those_of_the_whole_batch(
    tmp_path: Path, mark: Any
) -> None:
    run = context(tmp_path)
    run.task = run.task.__class__(**{**vars(run.task), "train": {"forget": ragged()}})
    batches = run.batches(run.task.train["forget"], 7, "forget")

    def told() -> float:
        batch = batches(0)
        share = batch.items_share if mark is by_items else batch.tokens_share
        items = torch.bincount(batch.rows, minlength=len(batch.input_ids)).double()
        values = items if mark is by_items else batch.targets.double()
        return float(values.mean()) * share

    whole = told()
    parts = []
    for rank in range(3):
        with at_work(Team(rank, 3, dividing=True)):
            parts.append(told())
    assert np.mean(parts) == pytest.approx(whole)


def test_a_forget_loss_counts_as_it_says_and_others_are_not_divided(tmp_path: Path) -> None:
    run = context(tmp_path)
    seen = []

    def forget(step: Step) -> torch.Tensor:
        seen.append((len(step.indices), len(step.forget.input_ids), team().dividing))
        return chunked.cross_entropy(model, step.forget)

    model = run.fresh_model()
    suppress(model, run.task, run, forget, steps=1, batch_size=9)
    assert seen == [(9, 9, False)]
    assert divided(forget) is None
    assert divided(by_rows(forget)) == "rows"


@pytest.mark.parametrize(("count", "at_once"), [(1, 4), (4, 4), (10, 3), (7, 1), (100, 7), (9, 2)])
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_the_rows_of_a_split_are_scored_once_in_as_many_passes_on_every_rank(
    count: int, at_once: int, ranks: int
) -> None:
    pieces = [Team(rank, ranks).pieces(count, at_once) for rank in range(ranks)]
    rows = [list(range(count))[piece] for mine in pieces for piece in mine]
    if Team(0, ranks).splits(count) or ranks == 1:
        assert [row for part in rows for row in part] == list(range(count))
    else:
        assert all(mine == pieces[0] for mine in pieces), "too few rows: every rank has them all"
    assert len({len(mine) for mine in pieces}) == 1
    assert max(map(len, rows)) <= at_once + (ranks > 1)


def test_one_rank_changes_nothing() -> None:
    alone = team()
    assert (alone.ranks, alone.first, alone.draws, alone.sharded) == (1, True, 0, False)
    assert alone.share(np.arange(5)).tolist() == [0, 1, 2, 3, 4]
    assert alone.total([1.5]) == [1.5]
    assert alone.largest(3) == 3
    assert alone.agreed(True)


def test_slots_get_gpus_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpus", lambda: ["0", "1", "2", "3"])
    two = Devices(2, "full")
    shown = [two.environment(slot)["CUDA_VISIBLE_DEVICES"] for slot in range(3)]
    assert shown == ["0,1", "2,3", "0,1"]
    assert two.slots(4) == 2
    assert two.words() == ["--devices", "2", "--sharding", "full"]
    assert Devices().environment(5) == {"CUDA_VISIBLE_DEVICES": "1"}
    with pytest.raises(UserError, match="--devices 5: this machine has 4 GPUs"):
        Devices(5).check()
    with pytest.raises(UserError, match="give --devices 2"):
        Devices(1, "full").check()


def test_without_gpus_ranks_are_processes_and_slots_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpus", list)
    assert Devices(2).slots(4) == 2
    assert Devices(8).slots(4) == 1
    assert Devices().slots(default_slots()) == default_slots()
    assert Devices(2).environment(0) == {}
    Devices(64).check()


def test_the_gpus_are_those_that_this_process_may_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf 'GPU 0: A (UUID: x)\\nGPU 1: A (UUID: y)\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 1")
    assert devices.gpus() == ["3", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.gpus() == []


def at_two_ranks(home: Path, what: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.ranks_at_work", str(home), what],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return at_two_ranks(tmp_path_factory.mktemp("ranks"), "all")


def assert_equal(one: dict[str, Any], several: dict[str, Any], tolerance: float = 2e-6) -> None:
    """The same steps, tokens, FLOPs and rows, their values within a relative tolerance, and weights to 1e-5."""
    missing = {row.split("/")[0] for row in set(one["rows"]) ^ set(several["rows"])}
    assert missing <= {"gradient_cosine"}, missing
    for row in set(one["rows"]) & set(several["rows"]):
        assert several["rows"][row] == pytest.approx(one["rows"][row], rel=tolerance, abs=tolerance)
    assert (several["steps"], several["tokens"]) == (one["steps"], one["tokens"])
    assert several["flops"] == pytest.approx(one["flops"], rel=1e-12)
    assert several["answers"] == one["answers"]
    assert several.get("apart", 0.0) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("how", ["none", "full"])
@pytest.mark.parametrize(
    ("task", "runs"),
    [
        ("arithmetic", ["base", "max_ent", "npo", "undo", "relearn", "evaluate", "whole"]),
        ("language", ["base", "max_ent", "undo", "relearn", "evaluate"]),
    ],
)
def test_two_ranks_do_what_one_device_does(
    found: dict[str, Any], task: str, runs: list[str], how: str
) -> None:
    for name in runs:
        run = found[task][name]
        assert_equal(run["alone"], run[how], 1e-5)
        assert ("computed it in whole" in run[how]["note"]) == (name == "whole")
    steps = found[task]["undo"]["alone"]["steps"]
    assert 0 < steps < (60 if task == "arithmetic" else 12), "the stop rule ended it"
    cosines = [r for r in found[task]["max_ent"][how]["rows"] if r.startswith("gradient_cosine")]
    assert bool(cosines) == (how == "none")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["none", "full"])
def test_autocast_works_on_two_ranks(found: dict[str, Any], how: str) -> None:
    run = found["language"]["bf16"]
    assert run[how]["steps"] == run["alone"]["steps"]
    for row, value in run["alone"]["rows"].items():
        assert run[how]["rows"][row] == pytest.approx(value, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["none", "full"])
def test_a_cancelled_run_stops_at_one_step_and_goes_on_bit_for_bit(
    found: dict[str, Any], how: str
) -> None:
    told = found["interrupted"][how]
    assert told["step"] == 17
    assert told["apart"] == 0.0
    assert told["finished_alone"] < 1e-5


@pytest.mark.slow
def test_ranks_listen_on_the_loopback_only_and_leave_nobody_behind(found: dict[str, Any]) -> None:
    assert found["children"] == 1
    assert found["listening"], "ranks on a CPU speak through sockets"
    assert set(found["listening"]) == {"0100007F"}
    assert found["left"] == []


@pytest.mark.slow
def test_a_rank_that_dies_ends_the_run_with_a_sentence(found: dict[str, Any]) -> None:
    assert found["lost"]["sentence"].startswith("The process of device 2 of 2 was ended by SIGKILL")
    assert found["lost"]["broken"]


@pytest.mark.slow
def test_losses_in_chunks_and_what_shards_do_not_allow(tmp_path: Path) -> None:
    told = at_two_ranks(tmp_path, "chunks")
    for how in ("none", "full"):
        assert_equal(told["chunks"]["alone"], told["chunks"][how], 1e-5)
    assert "use --sharding none" in told["refused"]


def processes(session: int) -> list[int]:
    """Processes of a session that are alive."""
    told = subprocess.run(["pgrep", "-s", str(session)], capture_output=True, text=True)
    return [int(pid) for pid in told.stdout.split()]


@pytest.mark.slow
def test_a_worker_with_two_devices_works_a_study_off_although_its_slot_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = database(tmp_path, monkeypatch)
    submit_real(engine, base_steps=1500)
    for row in reads.study_runs(engine, 1).to_dict("records")[2:]:
        writes.request_cancel(engine, [int(row["id"])])
    words = ["work", "--devices", "2", "--slots", "1", "--until-idle", "--lease", "600"]
    worker = subprocess.Popen([sys.executable, "-m", "backend", *words], cwd=ROOT)
    try:
        slot = None
        while worker.poll() is None and not (reads.run(engine, 1)["step"] or 0) > 20:
            time.sleep(0.2)
        found = subprocess.run(["pgrep", "-P", str(worker.pid)], capture_output=True, text=True)
        slot = int(found.stdout.split()[0])
        assert len(processes(slot)) == 2
        os.kill(slot, signal.SIGKILL)
        assert worker.wait(timeout=600) == 0
        wait_for(lambda: processes(slot) == [], 300)
    finally:
        worker.kill()
        worker.wait()
    rows = [reads.run(engine, number) for number in (1, 2)]
    assert [row["state"] for row in rows] == ["complete", "complete"]
    assert rows[0]["attempt"] == 2
    assert rows[0]["environment"]["devices"] == 2
    assert rows[0]["steps"] == 1500
