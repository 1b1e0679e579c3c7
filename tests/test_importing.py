"""An import as a study: its frontier, twice the same, nothing half-written, and the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from backend.__main__ import main
from backend.api import Study
from backend.frontier import frame
from backend.given_files import from_path
from backend.importing import prepared, store
from backend.results import curves, frontier_document
from backend.stage import UserError
from db import reads, writes
from db.session import DatabaseProblem, home, require_database
from tests import result_files as files
from tests.seed_database import seed_study

pytestmark = pytest.mark.both_databases

OBJECTIVES = ("utility", "claimed_forget_quality", "robust_forget_quality", "compute")
SMALL = ('recipes=[{suppress="max_ent"}]', "attacks.0.learning_rate=[1e-3]")


def imported(path: Path, name: str = "theirs") -> writes.Imported:
    return store(require_database(), prepared([from_path(path)], None, name=name))


def rows() -> dict[str, int]:
    """How many there are in each table, but for the log of who tried what."""
    found = reads.row_counts(require_database())
    return {name: count for name, count in found.items() if name != "audit_entry"}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return files.write(tmp_path / "results.json", files.uds())


def test_rows_have_metrics_and_nothing_that_was_not_reported(results: Path) -> None:
    imported(results)
    document = frontier_document(require_database(), "theirs")
    rows = document["rows"]
    assert [row["method"] for row in rows] == ["base", "oracle", "npo", "npo", "npo"]
    for row in rows:
        assert row["origin"] == "imported" and "not run here" in row["weak_evidence"]
        assert all(row[name]["mean"] is None for name in OBJECTIVES)
        unknown = ("on_front", "flops", "search_flops", "seconds", "worst_attack", "robust_so_far")
        assert all(row[name] is None for name in unknown)
        assert row["inference_overhead"] is None and row["label_fraction"] is None
    assert rows[3]["metrics"]["uds"] == {"mean": 0.2, "low": None, "high": None, "values": [0.2]}
    assert document["reference"]["metric_forget"] is None
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_a_metric_with_the_name_of_an_objective_is_not_taken_for_it(results: Path) -> None:
    imported(results)
    table = frame(frontier_document(require_database(), "theirs"))
    assert table["utility"].isna().all() and (table["reported_utility"] == 0.7).all()


def test_seeds_of_a_configuration_are_its_own(tmp_path: Path) -> None:
    imported(files.write(tmp_path / "mine.csv", files.TABLE))
    rows = {row["configuration"]: row for row in frontier_document(require_database(), "theirs")["rows"]}  # fmt: skip
    two, one = rows["NPO (lr 1e-05)"], rows["NPO (lr 5e-05)"]
    assert (two["seeds"], one["seeds"]) == (2, 1)
    assert two["metrics"]["forget_accuracy"]["mean"] == pytest.approx(0.12)
    assert two["metrics"]["forget_accuracy"]["low"] < 0.12 < two["metrics"]["forget_accuracy"]["high"]  # fmt: skip
    assert one["metrics"]["forget_accuracy"]["values"] == [0.05]


def test_importing_twice_changes_nothing_and_says_so(results: Path) -> None:
    first = imported(results)
    engine = require_database()
    before = (rows(), reads.data_version(engine))
    again = imported(results)
    assert (first.changed, first.new, first.revision) == (True, 5, 1)
    assert (again.changed, again.new, again.revision) == (False, 0, 1)
    assert (rows(), reads.data_version(engine)) == before


def test_other_numbers_are_another_revision_and_old_ones_stay(results: Path) -> None:
    imported(results)
    files.write(results, files.uds(4))
    again = imported(results)
    assert (again.revision, again.new, again.existing) == (2, 1, 5)
    engine = require_database()
    assert len(frontier_document(engine, "theirs")["rows"]) == 6
    assert len(frontier_document(engine, "theirs", revision=1)["rows"]) == 5


def test_an_import_never_takes_the_place_of_a_study_that_was_run(results: Path) -> None:
    seed_study(require_database(), SMALL)
    before = rows()
    with pytest.raises(DatabaseProblem, match="'quick' that was run here; give the import another"):
        imported(results, "quick")
    assert rows() == before
    imported(results)
    assert set(reads.studies(require_database())["origin"]) == {"run", "imported"}


def test_a_study_to_run_never_takes_the_place_of_an_import(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also not from the trash: what was imported could be seen no more, and not be imported again."""
    imported(results, "quick")
    engine = require_database()
    for trashed in (False, True):
        if trashed:
            writes.trash_study(engine, "quick")
        before = rows()
        for words in (["submit", "quick"], ["submit", "quick", "--dry-run"]):
            assert main(words) == 2
            assert capsys.readouterr().err == "name = 'quick' is that of an imported study; give the one to run here another name.\n"  # fmt: skip
        with pytest.raises(DatabaseProblem, match="'quick' that was imported; give the one to run"):
            writes.submit(engine, name="quick", document={"name": "quick"}, runs=[])
        with pytest.raises(UserError, match="name = 'quick' is that of an imported study"):
            Study({"name": "quick", "recipes": [{"suppress": "max_ent"}]}).run()
        assert rows() == before
    assert imported(results, "quick").changed, "it comes back from the trash"
    assert main(["submit", "quick", "--set", 'name="mine"', "--dry-run"]) == 0


def test_a_write_that_breaks_leaves_nothing(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = prepared([from_path(results)], None)
    ready.runs[-1]["measurements"][0].pop("metric")
    engine = require_database()
    before = rows()
    with pytest.raises(Exception, match="metric"):
        store(engine, ready)
    assert rows() == before


def test_items_answers_and_parts_are_stored(tmp_path: Path) -> None:
    imported(files.write(tmp_path / "npo/TOFU_EVAL.json", files.evaluation()).parent)
    engine = require_database()
    values = reads.item_values(engine, None, "forget_Q_A_Prob", "model")
    assert list(values[1, 0]) == pytest.approx([0.15, 0.25, 0.35])
    assert set(reads.samples(engine, [1])["answer"]) == {"<b>Bo</b>"}
    run = reads.run(engine, 1)
    assert run is not None and "not run here" in run["note"] and run["state"] == "complete"


def test_deleting_an_imported_study_takes_its_runs(results: Path) -> None:
    imported(results)
    imported(results, "the same again")
    engine = require_database()
    assert reads.row_counts(engine)["run"] == 5  # one copy for both
    assert writes.delete_study(engine, "theirs").runs == 0
    assert writes.delete_study(engine, "the same again").runs == 5
    assert reads.row_counts(engine)["measurement"] == 0


def test_curves_of_an_imported_study_are_none(results: Path) -> None:
    imported(results)
    assert curves(require_database(), "theirs").empty


def told(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_command_prints_the_runs_and_their_measurements(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    model = files.tofu_folder(tmp_path / "model", 2.0)
    other = files.tofu_folder(tmp_path / "retain", 1.0)
    words = ("import", str(model), "--as", "tofu_eval_logs", "--reference", str(other))
    dry = told(capsys, *words, "--dry-run")
    assert dry["revision"] is None and not home().exists()
    found = told(capsys, *words)
    assert found["study"] == "tofu_eval_logs-model" and found["changed"]
    assert [run["name"] for run in found["runs"]] == ["model", "retain"]
    assert found["runs"][0]["measurements"]["tofu_forget_quality"] == pytest.approx(1.0)
    assert not told(capsys, *words)["changed"]
    rows = told(capsys, "frontier", "tofu_eval_logs-model")["rows"]
    assert [row["method"] for row in rows] == ["oracle", "model"]
    assert rows[1]["metrics"]["tofu_model_utility"]["mean"] == pytest.approx(found["runs"][0]["measurements"]["tofu_model_utility"])  # fmt: skip


def test_the_command_reads_a_mapping_and_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    table = files.write(tmp_path / "t.csv", "who,acc\nA,0.5\n")
    mapping = files.write(tmp_path / "m.toml", 'metrics.acc = { direction = "up", better = "lower" }')  # fmt: skip
    found = told(capsys, "import", str(table), "--as", "csv", "--mapping", str(mapping), "--name", "mine")  # fmt: skip
    assert found["study"] == "mine" and found["metrics"]["acc"]["better"] == "lower"
    assert main(["import", str(table), "--name", "mine"]) == 0
    assert main(["frontier", "mine"]) == 0
    assert "not run here" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nothing.json"], "no file or folder nothing.json"),
        (["nothing.json", "--as", "ou"], "no kind 'ou' to import; there are"),
        ([], "required"),
    ],
)
def test_mistakes_are_one_sentence_and_create_nothing(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    assert main(["import", *words]) == 2
    complaint = capsys.readouterr().err
    assert sentence in complaint and complaint.count("\n") == 1 and not home().exists()
