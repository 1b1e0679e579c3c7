"""Memory decides how many runs are at work: what each is expected to need, and what the machine or its GPUs have."""

import os
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from backend.engines import devices
from backend.engines.choosing import Here
from backend.engines.devices import Devices
from backend.engines.ray import PART_OF_MEMORY, Options, Share, share_of
from backend.engines.room import Room
from backend.study import resolve
from backend.submission import submitted
from backend.worker import work
from db import reads, session, writes
from db.models import Run
from tests.small_study import database, run, submit, submit_real

GB = 10**9


def at_once(engine: Engine, slots: int) -> int:
    """How many runs were at work at the same moment, at most."""
    rows = reads.study_runs(engine, 1)
    changes = [(at, 1) for at in rows["started_at"]] + [(at, -1) for at in rows["finished_at"]]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


@pytest.mark.parametrize(("room", "most"), [(int(1.5 * GB), 1), (int(2.5 * GB), 2)])
def test_runs_are_at_work_together_where_their_memory_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, most: int) -> None:  # fmt: skip
    engine = database(tmp_path, monkeypatch)
    submit_real(engine)
    with engine.begin() as c:
        c.execute(update(Run).values(memory_need=GB))
    place = Here(Devices())
    place._room = Room(Devices(), room, {})
    assert work(engine, slots=2, until_idle=True, place=place)
    assert at_once(engine, 2) == most


def test_one_run_alone_may_need_more_than_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    engine = database(tmp_path, monkeypatch)
    submit_real(engine)
    with engine.begin() as c:
        c.execute(update(Run).values(memory_need=1000 * GB))
    place = Here(Devices())
    place._room = Room(Devices(), GB, {})
    assert work(engine, slots=2, until_idle=True, place=place)
    assert at_once(engine, 2) == 1
    assert reads.counts(engine)["complete"] == len(reads.study_runs(engine, 1))


@pytest.mark.both_databases
def test_the_next_run_is_taken_only_with_room_for_it(kind_of_database: str) -> None:
    engine = session.require_database()
    needs = [5 * GB, 1 * GB, None]
    submit(engine, *(run(f"r{k}", memory_need=need) for k, need in enumerate(needs)))
    assert writes.claim(engine, "w", 30, room=4 * GB) == writes.NoRoom(5 * GB), (
        "the small ones must not pass by"
    )
    first = writes.claim(engine, "w", 30, room=5 * GB)
    assert first == writes.Claim(1, 1, 5 * GB)
    assert writes.claim(engine, "w", 30, room=0) == writes.NoRoom(GB)
    assert writes.claim(engine, "w", 30) == writes.Claim(2, 1, GB)
    assert writes.claim(engine, "w", 30, room=0) == writes.Claim(3, 1, 0), "nobody knows its need"
    assert writes.claim(engine, "w", 30, room=0) is None


def test_a_submitted_study_says_what_its_runs_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    engine = database(tmp_path, monkeypatch)
    submitted(resolve({"name": "small", "setting": {"name": "arithmetic"}, "recipes": [{"suppress": "max_ent"}], "attacks": []}), engine)  # fmt: skip
    found = reads.runs_in(engine, ("waiting",))
    assert (
        len(found) and (found["memory_need"] > 400e6).all() and (found["memory_need"] < 2e9).all()
    )


def test_what_is_left_on_the_machine_and_on_its_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpus", list)
    alone = Room(Devices(), 10 * GB, {})
    assert alone.left(0, {}) is None
    assert alone.left(2, {0: 3 * GB, 1: 4 * GB}) == 3 * GB
    monkeypatch.setattr(devices, "gpus", lambda: ["0", "1"])
    two = Room(Devices(), 10 * GB, {"0": 80 * GB, "1": 40 * GB})
    assert two.left(1, {0: 70 * GB}) is None, "the other GPU is idle"
    assert two.left(2, {0: 70 * GB, 1: 5 * GB}) == 10 * GB
    assert two.left(3, {0: 70 * GB, 1: 5 * GB}) == 35 * GB
    pair = Room(Devices(2), 10 * GB, {"0": 80 * GB, "1": 40 * GB})
    assert pair.left(1, {0: 30 * GB}) == 10 * GB
    unknown = Room(Devices(), 10 * GB, {})
    assert unknown.left(2, {0: 70 * GB}) is None


def test_every_gpu_has_a_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpus", lambda: [str(number) for number in range(8)])
    assert Devices().slots(4) == 8
    assert [Devices().of_slot(slot) for slot in (0, 7, 9)] == [("0",), ("7",), ("1",)]
    assert [Devices(4).of_slot(slot) for slot in (0, 1, 2)] == [("0", "1", "2", "3"), ("4", "5", "6", "7"), ("0", "1", "2", "3")]  # fmt: skip


def test_gpus_are_asked_for_their_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    tool.write_text(
        "#!/bin/sh\nprintf '0, GPU-aa, 81559\\n1, GPU-bb, 40960\\n2, GPU-cc, [N/A]\\n'\n"
    )
    tool.chmod(0o755)
    assert devices.gpu_memory() == {"0": 81559 << 20, "GPU-aa": 81559 << 20, "1": 40960 << 20, "GPU-bb": 40960 << 20}  # fmt: skip
    tool.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    assert devices.gpu_memory() == {}


def test_on_ray_a_run_asks_for_what_it_needs() -> None:
    free = 64 * GB
    assert share_of(Options(), 0, free) == Share(0.0, 0)
    assert share_of(Options(), 450_000_000, free) == Share(0.0, 2 * PART_OF_MEMORY)
    assert share_of(Options(memory_gb=3), 450_000_000, free) == Share(0.0, 3 * GB)
    assert share_of(Options(), 90 * GB, free) == Share(0.0, free), "no node has more"
    assert share_of(Options(gpus=1), 90 * GB, free) == Share(1.0, 0), (
        "the GPU's memory, not the node's"
    )
    shared = Options(share_gb=80)
    assert share_of(shared, 10 * GB, free) == Share(0.15, 0)
    assert share_of(shared, 100 * GB, free) == Share(1.0, 0)
    assert share_of(shared, 0, free) == Share(1.0, 0)


def test_a_host_on_ray_does_runs_that_it_is_large_enough_for() -> None:
    held = Share(1.0, 4 * GB)
    assert held.enough(Share(1.0, 4 * GB)) and held.enough(Share(1.0, 2 * GB))
    assert not held.enough(Share(1.0, 5 * GB))
    assert not held.enough(Share(1.0, GB)), "most of it would be unused"
    assert not held.enough(Share(0.5, 4 * GB))
