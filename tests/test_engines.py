"""One suite for every engine: this machine, submitit's processes, a Ray cluster, a real Slurm."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from backend.engines.choosing import chosen, names
from backend.engines.devices import Devices
from backend.stage import UserError
from backend.worker import work
from tests.clusters import RAY, ROOT, SLURM, inside, no_namespaces, no_slurm
from tests.engine_at_work import base
from tests.preempted import STEPS
from tests.small_study import database, numbers


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name: sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="cl-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def here(home: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env={**os.environ, "LETHE_HOME": str(home)}, capture_output=True, text=True, timeout=1800)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


def keeps_its_word(told: dict[str, Any]) -> None:
    """Done once; cancelled at once; lost and done again; handed back with its state."""
    assert told["simple"] == 1
    assert told["cancelled"] == "cancelled"
    assert told["killed"] == 2
    assert told["stopped"] in ("waiting", "cancelled") and told["resumes at"]
    simple, cancelled, killed, stopped = told["events"].values()
    assert simple == ["claimed", "complete"]
    assert cancelled == ["claimed", "cancel requested", "cancelled"]
    assert killed == ["claimed", "lost", "claimed", "complete"]
    assert stopped[:2] == ["claimed", "handed back"]


@pytest.mark.slow
def test_this_machine(tmp_path: Path) -> None:
    keeps_its_word(json.loads(here(tmp_path, "-m", "tests.engine_at_work", "local")))


@pytest.mark.slow
def test_submitit_without_slurm(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed")
    words = ("-m", "tests.engine_at_work", "slurm", "cluster=local")
    keeps_its_word(json.loads(here(tmp_path, *words)))


@pytest.mark.slow
def test_a_ray_cluster_of_two_nodes(tmp_path: Path, short: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    if why := no_namespaces():
        pytest.skip(why)
    words = ["-m", "tests.engine_at_work", "ray", "address=127.0.0.1:26379"]
    keeps_its_word(json.loads(inside(RAY, short, tmp_path, words)))


@pytest.mark.slow
def test_slurm_itself(tmp_path: Path, short: Path) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed")
    if why := no_slurm():
        pytest.skip(why)
    words = ["-m", "tests.engine_at_work", "slurm", "memory_gb=1", "minutes=20"]
    keeps_its_word(json.loads(inside(SLURM, short, tmp_path, words)))


@pytest.mark.slow
def test_slurm_takes_the_machine_away(tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    pytest.importorskip("submitit", reason="submitit is not installed")
    if why := no_slurm():
        pytest.skip(why)
    told = json.loads(inside(SLURM, short, tmp_path, ["-m", "tests.preempted"]))
    assert told["events"]["taken"] == ["claimed", "handed back", "claimed", "complete"]
    cut = ["claimed", "handed back", "claimed", "cancel requested", "cancelled"]
    assert told["events"]["cut"] == cut and told["short resumed at"] > 0
    found = numbers(database(tmp_path, monkeypatch))
    calm = database(tmp_path / "calm", monkeypatch)
    base(calm, STEPS, 0)
    assert work(calm, slots=1, until_idle=True)
    expected = numbers(calm)
    taken = found[found["run"].isin(expected["run"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(taken, expected)


@pytest.mark.slow
def test_slurm_takes_no_job(tmp_path: Path, short: Path) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed")
    if why := no_slurm():
        pytest.skip(why)
    told = json.loads(inside(SLURM, short, tmp_path, ["-m", "tests.refused"]))
    assert "8 times in a row" in told["told"] and "invalid partition" in told["told"]
    assert told["states"] == ["waiting"] * 2 and told["attempts left"] == [3, 3]


def test_engines_are_found() -> None:
    assert names() == ["local", "ray", "slurm"]


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("cloud", [], "there are local, ray, slurm"),
        ("local", ["cpus=2"], "no options"),
        ("slurm", ["colour=red"], "one of partition, minutes, cpus"),
        ("slurm", ["minutes"], "give KEY=VALUE"),
        ("slurm", ["minutes=soon"], "must be a whole number"),
        ("slurm", ["memory_gb=much"], "must be a number"),
        ("slurm", ["cluster=moon"], "must be slurm or local"),
    ],
)
def test_a_wrong_choice_is_refused_before_work_starts(name: str, options: list[str], says: str) -> None:  # fmt: skip
    with pytest.raises(UserError, match=says):
        chosen(name, options, Devices())
