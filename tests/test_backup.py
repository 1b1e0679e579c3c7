"""Backups: complete, taken while others work, refused where they would harm, and whole after an interruption."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Engine

from backend.backup import MANIFEST, BackedUp, backup, restore
from backend.results import frontier_document
from backend.stage import UserError
from backend.worker import Happened, work
from db import reads, session, writes
from tests.postgres import Server
from tests.small_study import numbers, run, submit, submit_real


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a real study of seconds, done."""
    home = tmp_path_factory.mktemp("worked")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LETHE_HOME", str(home))
        patch.delenv("LETHE_DATABASE_URL", raising=False)
        engine = session.require_database()
        submit_real(engine)
        assert work(engine, slots=2, until_idle=True)
    return home


@pytest.fixture
def engine(worked: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setenv("LETHE_HOME", str(worked))
    return session.require_database()


def empty_home(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    monkeypatch.setenv("LETHE_HOME", str(folder))
    return folder


def models(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.glob("checkpoints/*/model.safetensors")}  # fmt: skip


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_is_restored_is_what_was_backed_up(kind: str, engine: Engine, worked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: Any) -> None:  # fmt: skip
    made = backup(engine, str(tmp_path / "kept"), worked)
    assert made.missing == () and len(made.files) == len(models(worked)) > 5
    if kind == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        monkeypatch.setenv("LETHE_DATABASE_URL", server.new())
    home = empty_home(monkeypatch, tmp_path / "new")
    restore(str(tmp_path / "kept"), home)
    back = session.require_database()
    assert back.dialect.name == kind
    assert models(home) == models(worked)
    assert frontier_document(back, "small") == frontier_document(engine, "small")
    again = backup(back, str(tmp_path / "again"), home)
    assert again.files == made.files and again.runs == made.runs


def test_a_backup_goes_to_any_place_that_fsspec_knows(engine: Engine, worked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    place = f"memory://{tmp_path.name}/kept"
    backup(engine, place, worked)
    home = empty_home(monkeypatch, tmp_path / "new")
    restore(place, home)
    assert models(home) == models(worked)


def test_a_second_backup_adds_only_what_is_new(engine: Engine, worked: Path, tmp_path: Path) -> None:  # fmt: skip
    place = tmp_path / "kept"
    backup(engine, str(place), worked)
    before = {path: path.stat().st_mtime_ns for path in (place / "files").iterdir()}
    backup(engine, str(place), worked)
    assert {path: path.stat().st_mtime_ns for path in (place / "files").iterdir()} == before
    assert len(list(place.glob("database-*.db"))) == 1


def test_a_backup_is_of_one_moment_while_others_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    home = empty_home(monkeypatch, tmp_path / "busy")
    engine = session.require_database()
    stop = threading.Event()

    def go_on() -> None:
        number = 0
        while not stop.is_set():
            submit(engine, run(f"r{number}"), run(f"s{number}", f"r{number}"), name=f"n{number}")
            number += 1

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        made = [backup(engine, str(tmp_path / f"kept{number}"), home) for number in range(3)]
    finally:
        stop.set()
        writer.join()
    assert [2 * one.studies for one in made] == [one.runs for one in made]
    assert made[0].runs <= made[1].runs <= made[2].runs


def test_a_model_that_is_gone_or_damaged_is_named(engine: Engine, worked: Path, tmp_path: Path) -> None:  # fmt: skip
    home = tmp_path / "harmed"
    shutil.copytree(worked / "checkpoints", home / "checkpoints")
    gone, damaged, *_ = sorted(home.glob("checkpoints/*/model.safetensors"))
    gone.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
    made = backup(engine, str(tmp_path / "kept"), home)
    assert sorted(made.missing) == sorted(str(path.relative_to(home)) for path in (gone, damaged))
    assert not list((tmp_path / "kept" / "files").glob("*.part"))


def test_what_is_not_empty_is_neither_overwritten_nor_restored_into(engine: Engine, worked: Path, tmp_path: Path) -> None:  # fmt: skip
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds other things and no backup"):
        backup(engine, str(tmp_path / "mine"), worked)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    backup(engine, str(tmp_path / "kept"), worked)
    before = reads.data_version(engine)
    with pytest.raises(session.DatabaseProblem, match="holds studies and runs already"):
        restore(str(tmp_path / "kept"), worked)
    assert reads.data_version(engine) == before


def _without_a_model(place: Path) -> None:
    next((place / "files").iterdir()).unlink()


def _with_a_changed_model(place: Path) -> None:
    found = next((place / "files").iterdir())
    found.write_bytes(found.read_bytes()[:-1] + b"!")


def _changed(place: Path, **changes: Any) -> None:
    told = json.loads((place / MANIFEST).read_text())
    (place / MANIFEST).write_text(json.dumps(told | changes))


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (_without_a_model, "is missing"),
        (_with_a_changed_model, "is not what it was"),
        (lambda place: (place / MANIFEST).unlink(), "holds no backup"),
        (lambda place: (place / MANIFEST).write_text("{"), "holds no backup"),
        (lambda place: _changed(place, form=2), "newer version"),
        (lambda place: _changed(place, schema="9999"), "newer version .schema 9999"),
        (lambda place: _changed(place, files={"../../evil": "0" * 64}), "no backup has"),
        (lambda place: _changed(place, files={"checkpoints/../evil": "0" * 64}), "no backup has"),
        (lambda place: _changed(place, files={"checkpoints/a/m": "../../x"}), "no backup has"),
        (lambda place: _changed(place, database="../database-0123456789ab.db"), "no backup has"),
    ],
)  # fmt: skip
def test_a_damaged_or_foreign_backup_is_refused_and_leaves_the_database_empty(harm: Any, says: str, engine: Engine, worked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    backup(engine, str(tmp_path / "kept"), worked)
    harm(tmp_path / "kept")
    home = empty_home(monkeypatch, tmp_path / "new")
    with pytest.raises(UserError, match=says):
        restore(str(tmp_path / "kept"), home)
    assert reads.row_counts(session.require_database())["run"] == 0
    assert not list(tmp_path.rglob("evil"))
    assert not list(home.rglob(".*"))


def test_a_restore_that_was_interrupted_can_be_done_again(engine: Engine, worked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    backup(engine, str(tmp_path / "kept"), worked)
    home = empty_home(monkeypatch, tmp_path / "new")

    def stop(what: str, done: int, of: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(str(tmp_path / "kept"), home, stop)
    restore(str(tmp_path / "kept"), home)
    assert models(home) == models(worked)


def test_a_backup_of_a_study_at_work_goes_on_to_the_same_numbers(worked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    home = empty_home(monkeypatch, tmp_path / "half")
    engine = session.require_database()
    submit_real(engine)
    kept: list[BackedUp] = []

    def tell(happened: Happened) -> None:
        if happened.kind == "complete" and not kept and reads.counts(engine)["complete"] >= 8:
            kept.append(backup(engine, str(tmp_path / "kept"), home))
            for name in reads.workers(engine)["id"]:
                writes.request_stop(engine, name)

    work(engine, slots=2, until_idle=True, on_event=tell)
    (made,) = kept
    assert made.missing == () and len(made.files) > 0
    empty_home(monkeypatch, tmp_path / "new")
    restore(str(tmp_path / "kept"), tmp_path / "new")
    back = session.require_database()
    assert reads.counts(back)["complete"] < 28
    assert work(back, slots=2, until_idle=True)
    monkeypatch.setenv("LETHE_HOME", str(worked))
    pd.testing.assert_frame_equal(numbers(back), numbers(session.require_database()))
