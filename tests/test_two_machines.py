"""Machines with data directories of their own, one database and one place for models: they share a study."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import select

from backend import artifacts, cargo, child, recipe
from backend.__main__ import main
from backend.artifacts import Artifacts
from backend.backup import backup, restore
from backend.cargo import bring_model
from backend.checkpoints import resume_step
from backend.playground.kept_models import KeptModels
from backend.recipe import task_of
from backend.stage import RunFailed, StageRequest, UserError
from backend.worker import work
from db import reads, session, writes
from db.models import Measurement
from tests import stores
from tests.in_browser import free_port, wait_for
from tests.midway import midway
from tests.small_study import database, numbers, submit_real

LONG = {"base_steps": 120}


class Machines:
    """Two data directories, a database and a place for models."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, place: str):
        self.here, self.there, self.place = folder / "here", folder / "there", place
        (folder / "shared").mkdir()
        self.url = f"sqlite:///{folder}/shared/lethe.db"
        patch.setenv("LETHE_DATABASE_URL", self.url)
        patch.setenv(artifacts.ENVIRONMENT, place)
        patch.setenv("LETHE_HOME", str(self.here))
        self.engine = session.require_database()

    def do(self, home: Path, **options: Any) -> str:
        held = writes.claim(self.engine, "test", 30.0)
        assert held is not None
        return child.run_once(self.engine, held.run_id, held.attempt, home, **options)


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    return Machines(tmp_path, monkeypatch, str(tmp_path / "models"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The small study's numbers on one machine."""
    with pytest.MonkeyPatch.context() as patch:
        engine = database(tmp_path_factory.mktemp("alone"), patch)
        submit_real(engine)
        assert work(engine, slots=2, until_idle=True)
        return numbers(engine)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A study whose first runs one machine did, and all others the other."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("two")
        made = Machines(folder, patch, str(folder / "models"))
        submit_real(made.engine)
        assert [made.do(made.here) for _ in range(3)] == ["complete"] * 3
        assert work(made.engine, slots=2, until_idle=True, home=made.there)
    return made


def held_by(home: Path) -> set[str]:
    return {path.parent.name for path in home.glob("checkpoints/*/model.safetensors")}


def test_two_machines_share_a_study_and_get_the_numbers_of_one(shared: Machines, alone: pd.DataFrame) -> None:  # fmt: skip
    pd.testing.assert_frame_equal(numbers(shared.engine), alone)
    base = reads.run(shared.engine, 1)
    assert base["fingerprint"] in held_by(shared.here) & held_by(shared.there)
    assert held_by(shared.there) - held_by(shared.here), "the other machine trained the rest"
    files = reads.model_files(shared.engine)
    there = Artifacts(shared.place).contents()
    assert there == dict(zip(files["sha256"], files["bytes"], strict=True)) and len(there) == 7
    assert Artifacts(shared.place).states() == {}
    for row in files.to_dict("records"):
        content = (Path(shared.place) / "models" / row["sha256"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"]


def test_what_is_not_here_is_fetched_where_somebody_asks_or_exports(shared: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("LETHE_DATABASE_URL", shared.url)
    monkeypatch.setenv(artifacts.ENVIRONMENT, shared.place)
    monkeypatch.setenv("LETHE_HOME", str(tmp_path / "new"))
    row = reads.run(shared.engine, 1)
    kept = KeptModels(shared.engine, tmp_path / "new")
    assert kept.get(row, task_of(row["setting"])) is not None
    assert held_by(tmp_path / "new") == {row["fingerprint"]}
    other = reads.run(shared.engine, int(reads.model_files(shared.engine)["run"].iloc[-1]))
    assert main(["export-model", str(other["id"]), "--to", str(tmp_path / "exported")]) == 0
    assert other["fingerprint"] in held_by(tmp_path / "new")
    assert (tmp_path / "exported" / "config.json").exists()


def test_a_copy_here_with_another_content_is_replaced(shared: Machines, tmp_path: Path) -> None:
    file = reads.model_file(shared.engine, 1)
    assert file is not None
    here = tmp_path / file["path"]
    here.parent.mkdir(parents=True)
    here.write_bytes(b"another model")
    bring_model(shared.engine, tmp_path, 1, Artifacts(shared.place))
    assert hashlib.sha256(here.read_bytes()).hexdigest() == file["sha256"]
    with pytest.raises(RunFailed, match="neither here nor at .*; `artifacts --push`"):
        bring_model(shared.engine, tmp_path / "x", 1, Artifacts(str(tmp_path / "empty")))


def test_a_backup_holds_what_lies_at_the_place_only_and_a_restore_stores_it_again(shared: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv(artifacts.ENVIRONMENT, shared.place)
    made = backup(shared.engine, str(tmp_path / "kept"), tmp_path / "empty")
    assert made.missing == () and len(made.files) == 7
    monkeypatch.setenv("LETHE_HOME", str(tmp_path / "new"))
    monkeypatch.setenv(artifacts.ENVIRONMENT, str(tmp_path / "elsewhere"))
    restore(str(tmp_path / "kept"), tmp_path / "new")
    assert Artifacts(str(tmp_path / "elsewhere")).contents() == Artifacts(shared.place).contents()
    with pytest.raises(UserError, match="holds other things and no backup"):
        backup(shared.engine, str(tmp_path / "elsewhere"), tmp_path / "new")


def test_what_was_made_before_the_place_was_named_can_be_taken_there(two: Machines, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    submit_real(two.engine)
    monkeypatch.delenv(artifacts.ENVIRONMENT)
    assert [two.do(two.here) for _ in range(3)] == ["complete"] * 3
    assert main(["artifacts"]) == 2
    assert "LETHE_ARTIFACTS is not set" in capsys.readouterr().err
    monkeypatch.setenv(artifacts.ENVIRONMENT, two.place)
    assert two.do(two.there) == "failed"
    assert "neither here nor at" in str(reads.run(two.engine, 4)["error"])
    assert main(["artifacts", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["files"], told["models"], len(told["missing"])) == (0, 2, 2)
    assert main(["artifacts", "--push", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["files"], told["stored"], told["missing"]) == (2, 2, [])
    writes.retry(two.engine, [4])
    assert two.do(two.there) == "complete"


def test_a_state_that_was_dropped_as_it_was_taken_there_is_no_warning(two: Machines, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    submit_real(two.engine)
    asked = StageRequest("base", "x", {}, {}, 0, "fp32", "f00d", two.here)
    made = cargo.Cargo(two.engine, reads.run(two.engine, 1) or {}, asked, None)  # type: ignore[arg-type]
    state = two.here / "checkpoints" / "f00d" / "resume.safetensors"
    state.parent.mkdir(parents=True)
    store = Artifacts(two.place)
    put = Artifacts.put_state

    def dropped(store: Artifacts, fingerprint: str, here: Path) -> None:
        here.unlink()
        put(store, fingerprint, here)

    monkeypatch.setattr(Artifacts, "put_state", dropped)
    state.write_bytes(b"state")
    made._take_state(store)
    assert not caplog.records and not store.states()

    def lost(store: Artifacts, fingerprint: str, here: Path) -> None:
        put(store, fingerprint, here.with_name("none"))

    monkeypatch.setattr(Artifacts, "put_state", lost)
    state.write_bytes(b"state")
    made._take_state(store)
    assert ["on this machine only" in one.message for one in caplog.records] == [True]


def cancelled_midway(two: Machines, patch: pytest.MonkeyPatch) -> None:
    """A study whose first run was cancelled once it was at work."""
    submit_real(two.engine, **LONG)
    midway(patch, lambda: writes.request_cancel(two.engine, [1]))
    assert two.do(two.here, lease_seconds=0.4) == "cancelled"


def attempts(two: Machines) -> set[int]:
    with two.engine.connect() as c:
        return set(c.execute(select(Measurement.attempt).where(Measurement.run_id == 1)).scalars())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    with pytest.MonkeyPatch.context() as patch:
        engine = database(tmp_path_factory.mktemp("undisturbed"), patch)
        submit_real(engine, **LONG)
        held = writes.claim(engine, "test", 30.0)
        child.run_once(engine, held.run_id, held.attempt)
        return numbers(engine)


def test_a_run_that_goes_back_to_the_queue_goes_on_elsewhere(two: Machines, monkeypatch: pytest.MonkeyPatch, undisturbed: pd.DataFrame) -> None:  # fmt: skip
    submit_real(two.engine, **LONG)
    stopping = threading.Event()
    midway(monkeypatch, stopping.set)
    assert two.do(two.here, stopping=stopping) == "returned"
    name = reads.run(two.engine, 1)["fingerprint"]
    assert set(Artifacts(two.place).states()) == {name}
    assert resume_step(two.here, name) > 0 and resume_step(two.there, name) == 0
    assert two.do(two.there) == "complete"
    assert attempts(two) == {1, 2}, "it did not start anew"
    pd.testing.assert_frame_equal(numbers(two.engine), undisturbed)
    assert Artifacts(two.place).states() == {}


def test_states_are_taken_there_while_the_run_works(two: Machines, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(recipe, "KEEP_SECONDS", 0.0)
    monkeypatch.setattr(cargo, "LOOK_SECONDS", 0.05)
    submit_real(two.engine, **LONG)
    store = Artifacts(two.place)
    seen: list[int] = []

    def look() -> None:
        wait_for(lambda: bool(store.states()), 300)
        seen.append(len(store.states()))

    midway(monkeypatch, look, heard=False)
    assert two.do(two.here) == "complete"
    assert seen == [1] and store.states() == {}


def test_a_fresh_retry_forgets_the_state_that_lies_there(two: Machines, monkeypatch: pytest.MonkeyPatch, undisturbed: pd.DataFrame) -> None:  # fmt: skip
    cancelled_midway(two, monkeypatch)
    assert Artifacts(two.place).states()
    writes.retry(two.engine, [1], fresh=True)
    assert two.do(two.there) == "complete"
    assert attempts(two) == {2}
    pd.testing.assert_frame_equal(numbers(two.engine), undisturbed)


def test_a_fresh_retry_starts_anew_once_and_goes_on_from_its_own_states(two: Machines, monkeypatch: pytest.MonkeyPatch, undisturbed: pd.DataFrame) -> None:  # fmt: skip
    cancelled_midway(two, monkeypatch)
    writes.retry(two.engine, [1], fresh=True)
    stopping = threading.Event()
    midway(monkeypatch, stopping.set)
    assert two.do(two.here, stopping=stopping) == "returned"
    assert two.do(two.there) == "complete"
    assert attempts(two) == {2, 3}, "the third went on from where the second had come"
    pd.testing.assert_frame_equal(numbers(two.engine), undisturbed)


def test_a_run_that_was_deleted_and_comes_back_takes_no_state_of_its_former_life(two: Machines, monkeypatch: pytest.MonkeyPatch, undisturbed: pd.DataFrame) -> None:  # fmt: skip
    cancelled_midway(two, monkeypatch)
    writes.delete_study(two.engine, "small")
    name = submitted_again(two)
    assert set(Artifacts(two.place).states()) == {name} and resume_step(two.here, name) > 0
    assert two.do(two.here) == "complete"
    again = numbers(two.engine)
    assert list(again["step"]) == list(undisturbed["step"]), "its whole curve is there"
    pd.testing.assert_frame_equal(again, undisturbed)


def submitted_again(two: Machines) -> str:
    study = submit_real(two.engine, **LONG)
    first = reads.study_runs(two.engine, study.study_id).iloc[0]
    assert first["id"] > 1
    return str(first["fingerprint"])


def test_a_place_that_stays_away_fails_the_run_with_a_sentence_and_a_retry_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    port = free_port()
    with stores.ftp(tmp_path / "served", port) as address:
        two = Machines(tmp_path, monkeypatch, address)
        submit_real(two.engine, **LONG)
        closing, closed = threading.Event(), threading.Event()

        def close() -> None:
            closing.set()
            closed.wait(600)

        midway(monkeypatch, close, heard=False)
        ended: list[str] = []
        monkeypatch.setattr(artifacts, "STORING_SECONDS", 0.5)
        run = threading.Thread(target=lambda: ended.append(two.do(two.here)))
        run.start()
        closing.wait(600)
    closed.set()
    run.join()
    assert ended == ["failed"]
    row = reads.run(two.engine, 1)
    assert row["error"].startswith(f"ftp://127.0.0.1:{port}/models of all could not be reached: ")
    assert "secret" not in row["error"] and not row["traceback"]
    assert reads.model_file(two.engine, 1) is None
    with stores.ftp(tmp_path / "served", port):
        writes.retry(two.engine, [1])
        assert two.do(two.here) == "complete"
        assert len(Artifacts(address).contents()) == 1


def test_a_worker_and_the_doctor_refuse_a_place_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    for place, says in (("memory://x", "only as long as a process"), ("nonsense://x", "no place"), ("/proc/models", "cannot be written")):  # fmt: skip
        monkeypatch.setenv(artifacts.ENVIRONMENT, place)
        assert main(["work", "--until-idle"]) == 2
        told = capsys.readouterr().err
        assert says in told and told.count("\n") == 1
        assert main(["doctor", "--json"]) == 0
        check = next(c for c in json.loads(capsys.readouterr().out) if c["name"] == "artifacts")
        assert not check["ok"] and says in check["says"]
    monkeypatch.setenv(artifacts.ENVIRONMENT, str(tmp_path / "models"))
    main(["doctor", "--json"])
    check = next(c for c in json.loads(capsys.readouterr().out) if c["name"] == "artifacts")
    assert check == {"name": "artifacts", "ok": True, "says": f"0 models (0.00 GB) at {tmp_path / 'models'}"}  # fmt: skip


def test_without_a_place_fsspec_is_not_even_imported() -> None:
    code = "import sys; import backend.child, backend.worker, backend.storage; print('fsspec' in sys.modules)"
    environment = {k: v for k, v in os.environ.items() if k != artifacts.ENVIRONMENT}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)  # fmt: skip
    assert done.stdout.strip() == "False"
