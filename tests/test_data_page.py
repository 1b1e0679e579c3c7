"""The Data page: from files on this machine to a study, everything to take away, and what is kept."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from backend.given_files import from_path
from backend.importing import prepared, store
from db import reads
from db.session import home, require_database
from tests import result_files as files
from tests.seed_database import seed_study
from tests.test_pages import PAGES, ROOT, told

PATH = "A path on this machine"
SMALL = ('recipes=[{suppress="max_ent"}]', "attacks.0.learning_rate=[1e-3]")


def opened(page: str = "9_Data.py", **address: str) -> AppTest:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    for key, value in address.items():
        at.query_params[key] = value
    return at.switch_page(f"pages/{page}").run()


def given(path: Path) -> AppTest:
    """The wizard with a path in it."""
    at = opened()
    at.radio(key="import_how").set_value(PATH).run()
    at.text_input(key="import_path").set_value(str(path)).run()
    assert not at.exception, at.exception[0].value
    return at


def table_with(at: AppTest, column: str) -> Any:
    return next(frame.value for frame in at.dataframe if column in frame.value)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return files.write(tmp_path / "results.json", files.uds())


def test_the_wizard_shows_what_it_would_make_and_makes_nothing(results: Path) -> None:
    at = given(results)
    assert {m.label: m.value for m in at.metric} == {"Models": "5", "Methods": "1", "Metrics": "6", "Seeds": "1"}  # fmt: skip
    assert list(table_with(at, "Model")["Model"]) == ["Base: full", "Oracle: retain", "NPO (lr 1e-05)", "NPO (lr 2e-05)", "NPO (lr 3e-05)"]  # fmt: skip
    assert not home().exists()


def test_import_makes_a_study_that_is_marked(results: Path) -> None:
    at = given(results)
    at.text_input(key="import_name").set_value("theirs").run()
    at.button(key="import").click().run()
    assert not at.exception
    assert any("Imported as theirs" in box.value for box in at.success)
    listed = table_with(at, "Origin")
    assert list(listed["Study"]) == ["theirs"] and list(listed["Models"]) == [5]
    assert list(listed["Origin"]) == ["imported, not run here"]
    assert list(reads.studies(require_database())["origin"]) == ["imported"]
    at.button(key="import").click().run()
    assert any("nothing was changed" in box.value for box in at.info)
    assert int(reads.studies(require_database())["revision"].iloc[0]) == 1


def test_what_is_wrong_is_one_sentence_without_markup(tmp_path: Path) -> None:
    at = given(files.write(tmp_path / "**bold**.json", '{"a": '))
    assert len(at.error) == 1 and r"\*\*bold\*\*" in at.error[0].value
    assert not [button for button in at.button if button.key == "import"]
    assert not home().exists()


def test_a_reference_and_common_items_are_asked_for_where_they_count(tmp_path: Path) -> None:
    model = files.tofu_folder(tmp_path / "model")
    other = files.tofu_folder(tmp_path / "retain", 2.0, files.QUESTIONS[:4])
    at = given(model)
    assert any("no TOFU forget quality" in box.value for box in at.info)
    at.text_input(key="import_path_reference").set_value(str(other)).run()
    assert any("4 are common to all" in box.value for box in at.error)
    at.checkbox(key="import_common").check().run()
    assert not at.error and "tofu_forget_quality" in table_with(at, "Model")


def test_a_tables_columns_are_shown_with_what_they_are(tmp_path: Path) -> None:
    at = given(files.write(tmp_path / "mine.csv", files.TABLE))
    mapping = table_with(at, "Is").set_index("Column")
    assert mapping["Is"].to_dict() == {"method": "method", "seed": "seed", "lr": "setting", "forget_accuracy": "number", "utility": "number", "note": "leave out"}  # fmt: skip
    assert mapping.loc["forget_accuracy", "Better"] == "↓ lower"
    assert {m.label: m.value for m in at.metric}["Seeds"] == "2"
    at.button(key="import").click().run()
    assert not at.exception
    stored = reads.study(require_database(), "csv-mine")
    assert stored is not None
    assert stored.document["imported"]["mapping"]["mine.csv"]["seed"] == "seed"


def test_an_imported_study_can_be_deleted(results: Path) -> None:
    store(require_database(), prepared([from_path(results)], None, name="theirs"))
    at = opened()
    at.button(key="delete theirs").click().run()
    assert not at.exception
    assert reads.studies(require_database()).empty
    assert "theirs is in the trash." in told(at)


def test_a_deleted_import_comes_back_with_undo_and_when_it_is_imported_again(results: Path) -> None:
    engine = require_database()
    plan = prepared([from_path(results)], None, name="theirs")
    store(engine, plan)
    at = opened()
    at.button(key="delete theirs").click().run()
    at.button(key="undo").click().run()
    assert not at.exception
    assert list(reads.studies(engine)["name"]) == ["theirs"]
    assert len(table_with(at, "Origin")) == 1 and "in the trash" not in told(at)
    at.button(key="delete theirs").click().run()
    assert store(engine, plan).changed
    listed = reads.studies(engine)
    assert list(listed["name"]) == ["theirs"] and int(listed["runs"].iloc[0]) == 5
    assert not store(engine, plan).changed


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_on_an_imported_study(results: Path, page: str) -> None:
    store(require_database(), prepared([from_path(results)], None, name="theirs"))
    at = opened(page, study="theirs")
    assert not at.exception, at.exception[0].value


def test_everything_can_be_taken_away() -> None:
    seed_study(require_database(), SMALL)
    at = opened(part="Export")
    assert not at.exception
    labels = [button.proto.label for button in at.get("download_button")]
    assert labels == ["Bundle (zip)", "JSON", "All tables (zip)"]


def test_storage_removes_what_may_go_and_nothing_else() -> None:
    seed_study(require_database(), SMALL)
    fingerprint = reads.run_states(require_database())["fingerprint"].iloc[0]
    for name in ("model.safetensors", "resume.safetensors"):
        path = home() / "checkpoints" / str(fingerprint) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"0" * 5000)
        os.utime(path, (time.time() - 9999,) * 2)
    at = opened(part="Storage")
    assert not at.exception
    assert {m.label: m.value for m in at.metric}["May be removed"] == "5.0 kB"
    assert "1 file, 5.0 kB" in told(at)
    at.button(key="gc").click().run()
    assert any("1 file removed" in box.value for box in at.success)
    assert [place.name for place in path.parent.iterdir()] == ["model.safetensors"]


def test_two_reported_metrics_stand_against_each_other(results: Path) -> None:
    store(require_database(), prepared([from_path(results)], None, name="theirs"))
    at = opened()
    chosen = {box.label: box.value for box in at.selectbox}
    assert (chosen["Across"], chosen["Up"]) == ("tofu_model_utility", "uds")
    drawn = json.loads(at.get("vega_lite_chart")[0].proto.spec)
    assert "not run here" in told(at) and drawn["layer"]
    assert "./?study=theirs" in told(at)


def test_an_imported_run_shows_its_numbers_and_cannot_be_cloned(results: Path) -> None:
    store(require_database(), prepared([from_path(results)], None, name="theirs"))
    at = opened("3_Runs.py", run="4")
    assert not at.exception
    assert any("Imported (uds), not run here." in text.value for text in at.text)
    shown = table_with(at, "metric").set_index("metric")["value"]
    assert shown["uds"] == 0.2
    at = opened("5_Launch.py", clone="4")
    assert not at.exception and "imported and never run here" in at.warning[0].value


def test_launch_says_that_a_name_is_that_of_an_import(results: Path) -> None:
    store(require_database(), prepared([from_path(results)], None, name="quick"))
    at = opened("5_Launch.py", study="quick")
    assert [error.value for error in at.error] == ["name = 'quick' is that of an imported study; give the one to run here another name."]  # fmt: skip
    assert "queue" not in [button.key for button in at.button]
    name = next(box for box in at.text_input if box.label == "Name")
    name.set_value("mine").run()
    assert not at.error and "queue" in [button.key for button in at.button]
