"""What is kept, what may go, and that nothing else does."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from backend import storage
from backend.__main__ import main
from backend.charts.storage import FREE, storage_chart
from db import reads, writes
from db.session import home, require_database
from tests.seed_database import seed_study
from tests.small_study import lives

SMALL = (
    'recipes=[{suppress="grad_diff"}, {suppress="max_ent"}]',
    "attacks.0.learning_rate=[1e-3]",
)
HOUR = 3600.0


@pytest.fixture
def runs() -> pd.DataFrame:
    """A study in which one method failed, another run is at work; the runs by stage and state."""
    seed_study(require_database(), SMALL, fail=("grad_diff",), stop_after=7)
    return reads.run_states(require_database())


def of(runs: pd.DataFrame, state: str) -> str:
    """The fingerprint of a run in a state."""
    return str(runs[runs["state"] == state]["fingerprint"].iloc[0])


def put(folder: str, name: str, size: int = 100, age: float = HOUR) -> Path:
    path = home() / "checkpoints" / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"0" * size)
    os.utime(path, (time.time() - age,) * 2)
    return path


def reasons() -> dict[str, str]:
    found = storage.survey(require_database())
    return {file.path: file.reason for file in found if file.kind != "database"}


def test_every_file_has_a_kind_and_few_may_go(runs: pd.DataFrame) -> None:
    done, at_work = of(runs, "complete"), of(runs, "running")
    put(done, "model.safetensors", 1000)
    put(done, "resume.safetensors", 200)
    put(done, ".model.safetensors.123", 30)
    put(at_work, "resume.safetensors")
    put(at_work, "model.safetensors")
    put("f00d", "model.safetensors", 7)
    (home() / "logs").mkdir()
    (home() / "logs" / "worker.log").write_text("hello")
    assert reasons() == {
        f"checkpoints/{done}/model.safetensors": "",
        f"checkpoints/{done}/resume.safetensors": "finished",
        f"checkpoints/{done}/.model.safetensors.123": "temporary",
        f"checkpoints/{at_work}/resume.safetensors": "",
        f"checkpoints/{at_work}/model.safetensors": "",
        "checkpoints/f00d/model.safetensors": "orphan",
        "logs/worker.log": "",
    }
    kinds = storage.by_kind(storage.survey(require_database())).set_index("kind")
    assert kinds.loc["checkpoint", "bytes"] == 1107 and kinds.loc["checkpoint", "removable"] == 7
    assert kinds.loc["log", "bytes"] == 5 and kinds.loc["database", "removable"] == 0
    largest = storage.by_run(storage.survey(require_database()))
    assert largest["bytes"].iloc[0] == 1230 and list(largest["state"]) == ["complete", "running"]


def test_failed_runs_leave_what_may_go(runs: pd.DataFrame) -> None:
    failed = of(runs, "failed")
    put(failed, "model.safetensors")
    put(failed, "resume.safetensors")
    assert set(reasons().values()) == {"unfinished", "stopped"}
    writes.retry(require_database(), [int(runs[runs["state"] == "failed"]["id"].iloc[0])])
    assert set(reasons().values()) == {""}  # it waits again, and goes on from its state


def test_what_was_written_a_moment_ago_stays(runs: pd.DataFrame) -> None:
    done = of(runs, "complete")
    put(done, "model.safetensors")
    put("f00d", "model.safetensors", age=5)
    put(done, "resume.safetensors", age=5)
    assert set(reasons().values()) == {""}


def test_files_of_another_database_stay(runs: pd.DataFrame) -> None:
    put("f00d", "model.safetensors")
    assert set(reasons().values()) == {""}  # not one file is known here
    put(of(runs, "complete"), "model.safetensors")
    assert "orphan" in reasons().values()
    assert all(not file.reason for file in storage.survey(None))


def test_a_dry_run_counts_and_cleaning_removes_just_that(runs: pd.DataFrame) -> None:
    done = of(runs, "complete")
    kept = put(done, "model.safetensors", 1000)
    gone = put(done, "resume.safetensors", 200)
    orphan = put("f00d", "model.safetensors", 7)
    engine = require_database()
    assert storage.clean(engine, ["finished"], dry_run=True) == storage.Removed(1, 200)
    assert gone.exists()
    assert storage.clean(engine, ["finished"]) == storage.Removed(1, 200)
    assert kept.exists() and orphan.exists() and not gone.exists()
    assert storage.clean(engine, ["orphan"]) == storage.Removed(1, 7)
    assert not orphan.parent.exists()
    assert reads.events(engine)["kind"].iloc[0] == "storage"
    before = reads.last_event(engine)
    assert storage.clean(engine, list(storage.REASONS)) == storage.Removed(0, 0)
    assert reads.last_event(engine) == before


def test_a_removed_file_is_no_longer_noted(runs: pd.DataFrame) -> None:
    failed = of(runs, "failed")
    put(of(runs, "complete"), "model.safetensors")
    path = put(failed, "model.safetensors")
    engine, run = require_database(), int(runs[runs["state"] == "failed"]["id"].iloc[0])
    told = {"kind": "model", "path": str(path.relative_to(home())), "bytes": 100, "sha256": "0"}
    writes.add_artifacts(engine, run, 1, [told])
    storage.clean(engine, ["unfinished"])
    assert reads.artifacts(engine, run).empty


def test_the_chart_has_what_may_go_as_a_part_of_its_own(runs: pd.DataFrame) -> None:
    put(of(runs, "complete"), "model.safetensors")
    put(of(runs, "complete"), "resume.safetensors", 300)
    drawn = storage_chart(storage.by_kind(storage.survey(require_database()))).to_dict()
    rows = [row for rows in drawn["datasets"].values() for row in rows]
    free = {row["label"]: row["amount"] for row in rows if row["part"] == FREE}
    assert free == {"Resume states": 300}


def test_gc_says_first_and_keeps_what_a_retry_needs(runs: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    put(of(runs, "complete"), "model.safetensors")
    resume = put(of(runs, "failed"), "resume.safetensors", 50)
    orphan = put("f00d", "model.safetensors", 7)
    assert main(["gc", "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["removed"], told["files"], told["bytes"]) == (False, 1, 7)
    assert orphan.exists()
    assert main(["gc"]) == 0
    assert "1 files, 0.0 MB removed" in capsys.readouterr().out
    assert resume.exists() and not orphan.exists()
    assert main(["gc", "--stopped"]) == 0
    assert not resume.exists()


def test_logs_that_tell_of_no_run_go_after_a_week(runs: pd.DataFrame) -> None:
    lives(require_database(), "alive")
    names = ("jobs/17/17_0_log.out", "gone-0.log", "alive-0.log", "workers/gone.jsonl", f"runs/{of(runs, 'complete')}.jsonl")  # fmt: skip
    places = [home() / "logs" / name for name in names]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("x")
        os.utime(place, (time.time() - 6 * 24 * HOUR,) * 2)
    assert not [path for path, reason in reasons().items() if reason == "old"]
    for place in places:
        os.utime(place, (time.time() - 8 * 24 * HOUR,) * 2)
    assert storage.clean(require_database(), ["old"]).files == 3
    assert [place.exists() for place in places] == [False, False, True, False, True]
    assert not places[0].parent.exists()


def test_what_was_written_since_it_was_looked_at_stays(runs: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    place = put(of(runs, "failed"), storage.MODEL)
    looked = storage.chosen

    def then_written(*given: Any) -> list[storage.StoredFile]:
        found = looked(*given)
        put(of(runs, "failed"), storage.MODEL, age=0.0)  # of the same size
        return found

    monkeypatch.setattr(storage, "chosen", then_written)
    assert storage.clean(require_database(), ["unfinished"]).files == 0 and place.exists()


def test_gc_without_a_database_creates_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gc", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == 0 and not home().exists()
