"""Making room: which models may go though that costs something, which never do, and what is left."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Engine

from backend import artifacts, placed, plan, retention, storage, study
from backend.__main__ import main
from backend.artifacts import Artifacts
from backend.backup import backup, restore
from backend.cargo import bring_model
from backend.results import frontier_document
from backend.stage import RunFailed, UserError
from backend.worker import work
from db import reads, writes
from db.models import MODEL_STAGES
from db.session import home, require_database
from tests.seed_database import seed_study
from tests.small_study import SETTING, database, numbers, run

HOUR, DAY = 3600.0, 86400.0
OVERRIDES = (
    'recipes=[{suppress="grad_diff"}, {suppress="max_ent"}, {suppress="rmu"}]',
    "attacks.0.learning_rate=[1e-3]",
)


def stored(engine: Engine) -> dict[str, int]:
    """A file for every complete model, as a run leaves it; method → run."""
    runs = reads.run_states(engine)
    models = runs[runs["stage"].isin(MODEL_STAGES) & (runs["state"] == "complete")]
    for row in models.to_dict("records"):
        path = home() / "checkpoints" / row["fingerprint"] / "model.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(str(row["fingerprint"]).encode() * 10)
        os.utime(path, (time.time() - HOUR,) * 2)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        file = {"kind": "model", "path": str(path.relative_to(home())), "bytes": 200, "sha256": digest}  # fmt: skip
        writes.add_artifacts(engine, int(row["id"]), 1, [file])
    return {str(row["name"]): int(row["id"]) for row in models.to_dict("records")}


@pytest.fixture
def made() -> dict[str, int]:
    """A study with three suppressions, of which one dominates the others; method → run."""
    engine = require_database()
    seed_study(engine, OVERRIDES)
    found = stored(engine)
    document = frontier_document(engine, "quick")
    told = {row["method"]: row["on_front"] for row in document["rows"]}
    assert told == {"base": None, "oracle": None, "grad_diff": False, "max_ent": True, "rmu": True}
    return found


def here(made: dict[str, int]) -> set[str]:
    names = reads.fingerprints(require_database())
    return {n for n, run in made.items() if (home() / "checkpoints" / names[run] / "model.safetensors").exists()}  # fmt: skip


def gc(*words: str) -> int:
    return main(["gc", "--json", *words])


def test_dominated_models_go_by_name_only_and_a_dry_run_counts_them(made: dict[str, int], capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    engine = require_database()
    before, shown = numbers(engine), frontier_document(engine, "quick")
    assert retention.dispensable(engine) == {made["grad_diff"]}
    assert gc() == 0 and json.loads(capsys.readouterr().out)["files"] == 0
    gc("--reasons", "dominated", "--dry-run")
    would = json.loads(capsys.readouterr().out)
    assert (would["files"], would["bytes"], would["removed"]) == (1, 200, False)
    assert [(r["reason"], r["files"]) for r in would["reasons"]] == [("dominated", 1)]
    assert here(made) == set(made)
    gc("--reasons", "dominated")
    did = json.loads(capsys.readouterr().out)
    assert did == would | {"removed": True}
    assert here(made) == set(made) - {"grad_diff"}
    pd.testing.assert_frame_equal(numbers(engine), before)
    assert frontier_document(engine, "quick") == shown
    assert reads.model_file(engine, made["grad_diff"])["removed"]
    assert reads.disk_used(engine) == 200 * (len(made) - 1)
    gc("--reasons", "dominated")
    assert json.loads(capsys.readouterr().out)["files"] == 0


def test_an_unknown_reason_is_refused(made: dict[str, int], capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    assert gc("--reasons", "dominated,all") == 2
    assert "no reason 'all'; there are: finished, stopped," in capsys.readouterr().err


def tag(run: int) -> None:
    writes.add_tag(require_database(), [run], "mine")


def tag_its_attack(run: int) -> None:
    tag(next(c for c in reads.run(require_database(), run)["children"] if reads.run(require_database(), c)["stage"] == "attack"))  # fmt: skip


def note(run: int) -> None:
    writes.save_note(require_database(), run, "look at this one again", "Ada", 0)


def report(run: int) -> None:
    number = writes.create_report(require_database(), "What we saw")
    writes.add_block(require_database(), number, "case", "A case", {"runs": [run]})


def answers(run: int) -> None:
    number = writes.create_report(require_database(), "What it said")
    writes.add_block(require_database(), number, "case", "A case", {"answers": [{"run": run, "answer": "5"}]})  # fmt: skip


def ask(run: int) -> None:
    writes.ask(require_database(), "key", "quick", {"models": [{"run": run, "fingerprint": "x"}]})


@pytest.mark.parametrize("speaks", [tag, tag_its_attack, note, report, answers, ask])
def test_what_somebody_pointed_at_stays(speaks: Callable[[int], None], made: dict[str, int]) -> None:  # fmt: skip
    engine = require_database()
    speaks(made["grad_diff"])
    assert retention.dispensable(engine) == set()
    assert storage.clean(engine, ["dominated"]) == storage.Removed(0, 0)
    assert here(made) == set(made)


def test_a_model_that_an_unfinished_run_starts_from_stays(made: dict[str, int]) -> None:
    engine = require_database()
    resolved = study.resolve(study.load("quick", [OVERRIDES[0], "attacks.0.learning_rate=[1e-3, 1e-2]"]))  # fmt: skip
    writes.submit(engine, name="quick", document=resolved.document, runs=plan.as_rows(resolved.runs))  # fmt: skip
    assert made["grad_diff"] in reads.started_from(engine)
    assert retention.dispensable(engine) == set()


def test_a_model_on_the_front_of_another_study_stays(made: dict[str, int]) -> None:
    engine = require_database()
    seed_study(engine, ('recipes=[{suppress="grad_diff"}]', OVERRIDES[1], 'name="other"'))
    assert frontier_document(engine, "other")["rows"][-1]["on_front"] is True
    assert retention.dispensable(engine) == set()


@pytest.fixture
def place(made: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifacts:
    """The models of the study lie at a place too."""
    monkeypatch.setenv(artifacts.ENVIRONMENT, str(tmp_path / "models"))
    assert main(["artifacts", "--push"]) == 0
    return Artifacts(str(tmp_path / "models"))


def reasons(engine: Engine, dispensable: set[int]) -> dict[tuple[str, bool], str]:
    store = placed.artifacts()
    found = storage.survey(engine, None, dispensable, placed.files(engine, store) if store else ())
    return {(file.path, file.there): file.reason for file in found if file.kind != "database"}


def test_copies_of_what_lies_elsewhere_go_freely_and_their_notes_stay(made: dict[str, int], place: Artifacts, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    engine = require_database()
    capsys.readouterr()
    gc("--dry-run")
    would = json.loads(capsys.readouterr().out)
    assert would["reasons"][0]["reason"] == "cached" and would["files"] == len(made)
    gc()
    assert json.loads(capsys.readouterr().out)["files"] == len(made)
    assert here(made) == set() and len(place.contents()) == len(made)
    assert len(reads.model_files(engine)) == len(made)
    assert reads.removed_models(engine) == set()


def test_a_copy_stays_that_a_run_begins_from_meanwhile(made: dict[str, int], place: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    engine, looked = require_database(), storage.chosen

    def then_submitted(*given: Any) -> list[storage.StoredFile]:
        found = looked(*given)
        above = reads.fingerprints(engine)[made["max_ent"]]
        writes.add_run(engine, run("new", stage="attack", parent=above))
        return found

    monkeypatch.setattr(storage, "chosen", then_submitted)
    assert storage.clean(engine, ["cached"]).files == len(made) - 1
    assert here(made) == {"max_ent"}


def test_a_dominated_model_goes_here_and_there(made: dict[str, int], place: Artifacts, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    engine = require_database()
    digest = reads.model_file(engine, made["grad_diff"])["sha256"]
    capsys.readouterr()
    gc("--reasons", "dominated", "--dry-run")
    would = json.loads(capsys.readouterr().out)
    gc("--reasons", "dominated")
    assert json.loads(capsys.readouterr().out) == would | {"removed": True}
    assert (would["files"], would["bytes"]) == (2, 400)
    assert here(made) == set(made) - {"grad_diff"}
    assert len(place.contents()) == len(made) - 1 and place.size(digest) is None


def test_a_content_that_another_run_names_stays(made: dict[str, int], place: Artifacts) -> None:
    engine = require_database()
    gone, twin = (reads.model_file(engine, made[name]) for name in ("grad_diff", "max_ent"))
    file = {"kind": "model", "path": twin["path"], "bytes": 200, "sha256": gone["sha256"]}
    writes.add_artifacts(engine, made["max_ent"], 1, [file])
    assert storage.clean(engine, ["dominated"]) == storage.Removed(1, 200), "the copy here alone"
    assert place.size(gone["sha256"]) == 200


def test_a_copy_on_another_machine_of_a_model_that_was_removed_is_nobodys(made: dict[str, int], place: Artifacts) -> None:  # fmt: skip
    engine = require_database()
    path = home() / reads.model_file(engine, made["grad_diff"])["path"]
    content = path.read_bytes()
    storage.clean(engine, ["dominated"])
    path.parent.mkdir()
    path.write_bytes(content)
    os.utime(path, (time.time() - HOUR,) * 2)
    assert reasons(engine, set())[str(path.relative_to(home())), False] == "orphan"
    assert storage.clean(engine, ["orphan"]) == storage.Removed(1, 200)
    assert reads.model_file(engine, made["grad_diff"])["removed"], "what can be made again stays known"  # fmt: skip


def test_contents_that_no_run_names_go_after_a_day(made: dict[str, int], place: Artifacts, tmp_path: Path) -> None:  # fmt: skip
    engine = require_database()
    digests = []
    for number, age in enumerate((DAY / 2, 2 * DAY)):
        (tmp_path / "x").write_bytes(b"x" * (number + 1))
        digests.append(hashlib.sha256(b"x" * (number + 1)).hexdigest())
        place.put(tmp_path / "x", digests[-1])
        os.utime(tmp_path / "models" / "models" / digests[-1], (time.time() - age,) * 2)
    assert storage.clean(engine, ["orphan"], dry_run=True) == storage.Removed(1, 2)
    assert storage.clean(engine, ["orphan"]) == storage.Removed(1, 2)
    assert place.size(digests[0]) == 1 and place.size(digests[1]) is None


def test_what_killed_processes_left_half_stored_goes_after_a_day(made: dict[str, int], place: Artifacts, tmp_path: Path) -> None:  # fmt: skip
    engine = require_database()
    for folder, name, age in (("models", "0" * 64, 2 * DAY), ("resume", "f00d", 2 * DAY), ("models", "1" * 64, HOUR)):  # fmt: skip
        part = tmp_path / "models" / folder / f"{name}.0123abcd.part"
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(b"half")
        os.utime(part, (time.time() - age,) * 2)
    assert storage.clean(engine, ["orphan"]) == storage.Removed(2, 8)
    assert [path.name[:1] for path in tmp_path.rglob("*.part")] == ["1"]


def test_states_of_ended_runs_go_there_too(made: dict[str, int], place: Artifacts, tmp_path: Path) -> None:  # fmt: skip
    engine = require_database()
    (tmp_path / "state").write_bytes(b"state")
    names = reads.fingerprints(engine)
    place.put_state(names[made["rmu"]], tmp_path / "state")
    assert storage.clean(engine, ["finished"]) == storage.Removed(1, 5)
    assert place.states() == {}


def test_a_place_of_another_database_is_left_alone(made: dict[str, int], place: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("LETHE_HOME", str(tmp_path / "another"))
    another = require_database()
    seed_study(another, OVERRIDES)
    for path in (tmp_path / "models" / "models").iterdir():
        os.utime(path, (time.time() - 2 * DAY,) * 2)
    assert storage.clean(another, list(storage.REASONS)) == storage.Removed(0, 0)
    with pytest.raises(UserError, match="the models of another database"):
        work(another, until_idle=True)
    assert len(place.contents()) == len(made)


@pytest.mark.parametrize("owner", ["another database", ""])
def test_copies_stay_where_the_place_is_not_ours(owner: str, made: dict[str, int], place: Artifacts, tmp_path: Path) -> None:  # fmt: skip
    assert "cached" in reasons(require_database(), set()).values()
    name = tmp_path / "models" / "database"
    name.write_text(owner) if owner else name.unlink()
    assert storage.clean(require_database(), ["cached"]) == storage.Removed(0, 0)
    assert here(made) == set(made)


def test_a_copy_stays_where_what_lies_at_the_place_is_not_whole(made: dict[str, int], place: Artifacts, tmp_path: Path) -> None:  # fmt: skip
    digest = reads.model_file(require_database(), made["rmu"])["sha256"]
    (tmp_path / "models" / "models" / digest).write_bytes(b"half")
    storage.clean(require_database(), ["cached"])
    assert here(made) == {"rmu"}


def test_a_damaged_model_at_the_place_is_found_and_put_there_anew(made: dict[str, int], place: Artifacts, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    engine = require_database()
    file = reads.model_file(engine, made["rmu"])
    lies = tmp_path / "models" / "models" / file["sha256"]
    capsys.readouterr()
    for content, options in ((b"half", []), (b"x" * 200, ["--check"])):
        lies.write_bytes(content)
        with pytest.raises(RunFailed, match="is damaged: .*`artifacts --push --check`"):
            bring_model(engine, tmp_path / "elsewhere", made["rmu"], place)
        assert main(["artifacts", "--json", *options]) == (1 if options else 0)
        assert json.loads(capsys.readouterr().out)["damaged"] == [file["path"]]
        assert main(["artifacts", "--push", "--json", *options]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["stored"], told["missing"], told["damaged"]) == (1, [], [])
        assert hashlib.sha256(lies.read_bytes()).hexdigest() == file["sha256"]


def test_a_copied_database_is_another_one_until_it_takes_the_place_over(made: dict[str, int], place: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    first, url = require_database(), f"sqlite:///{tmp_path}/copy.db"
    assert main(["copy-database", url]) == 0
    monkeypatch.setenv("LETHE_DATABASE_URL", url)
    copy = require_database()
    assert writes.identity(copy) != writes.identity(first)
    assert storage.clean(copy, ["cached", "orphan"]) == storage.Removed(0, 0)
    assert main(["artifacts", "--push"]) == 2
    assert "`artifacts --take-over` where this one is to go on instead" in capsys.readouterr().err
    assert main(["artifacts", "--take-over", "--push"]) == 0
    assert place.owner() == writes.identity(copy)
    with pytest.raises(UserError, match="the models of another database"):
        placed.own(first, place)


def test_a_restore_stores_nothing_at_the_place_of_another_database(made: dict[str, int], place: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    backup(require_database(), str(tmp_path / "kept"), home())
    for path in (tmp_path / "models" / "models").iterdir():
        path.unlink()
    monkeypatch.setenv("LETHE_HOME", str(tmp_path / "new"))
    with pytest.raises(UserError, match="`artifacts --take-over`"):
        restore(str(tmp_path / "kept"), tmp_path / "new")
    assert place.contents() == {}
    assert main(["artifacts", "--take-over"]) == 0
    assert restore(str(tmp_path / "kept"), tmp_path / "new").runs > 0
    assert len(place.contents()) == len(made)
    placed.own(require_database(), place)


def test_a_content_that_goes_between_listing_and_asking_has_no_age(place: Artifacts) -> None:
    assert place.age("0" * 64) is None
    assert place.age_of_part(f"models/{'0' * 64}.0123abcd.part") is None


def test_files_of_a_model_that_is_being_made_again_stay(made: dict[str, int]) -> None:
    engine = require_database()
    storage.clean(engine, ["dominated"])
    writes.retry(engine, [], remake=[made["grad_diff"]])
    name = reads.fingerprints(engine)[made["grad_diff"]]
    for file in ("resume.safetensors", "model.safetensors"):
        path = home() / "checkpoints" / name / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"0")
        os.utime(path, (time.time() - HOUR,) * 2)
    assert storage.clean(engine, list(storage.REASONS)) == storage.Removed(0, 0)


def submitted(engine: Engine, rates: list[float]) -> None:
    source: dict[str, Any] = {
        "name": "small",
        "setting": {**SETTING, "base_steps": 120},
        "recipes": [{"suppress": {"name": name, "steps": 3}} for name in ("grad_diff", "max_ent")]
        + [{"suppress": {"name": "max_ent", "steps": 3}, "robustify": {"name": "undo", "alpha": [0.2, 0.6], "steps": 20}}],
        "attacks": [{"name": "relearn", "learning_rate": rates, "steps": 6}],
    }  # fmt: skip
    resolved = study.resolve(source)
    writes.submit(engine, name="small", document=resolved.document, runs=plan.as_rows(resolved.runs))  # fmt: skip


@pytest.mark.slow
def test_after_a_clean_up_a_new_attack_works_and_gets_the_numbers_of_a_study_that_kept_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    engine = database(tmp_path / "a", monkeypatch)
    submitted(engine, [1e-3])
    assert work(engine, slots=2, until_idle=True)
    monkeypatch.setattr(storage, "SETTLED_SECONDS", 0.0)
    may = retention.dispensable(engine)
    assert may, "something is dominated"
    assert main(["gc", "--reasons", "dominated"]) == 0
    assert reads.removed_models(engine) == may
    submitted(engine, [1e-3, 1e-2])
    assert work(engine, slots=2, until_idle=True)
    assert not reads.removed_models(engine)
    kept = database(tmp_path / "b", monkeypatch)
    submitted(kept, [1e-3, 1e-2])
    assert work(kept, slots=2, until_idle=True)
    theirs = numbers(kept)
    mine = numbers(engine)
    mine = mine[mine["run"].isin(theirs["run"].unique())].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, theirs)
