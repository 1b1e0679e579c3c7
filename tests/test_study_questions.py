"""What a study asks: in its file, below the pickers of pages, in the list of studies."""

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from backend import catalogue, study
from backend.__main__ import main
from backend.given_files import from_path
from backend.importing import prepared, store
from backend.stage import UserError
from backend.study_questions import question_of, shipped_question
from db import reads
from db.session import require_database
from tests import result_files as files
from tests.seed_database import seed_study
from tests.test_pages import ROOT, SMALL, told


def opened(page: str, **address: str) -> AppTest:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    for key, value in address.items():
        at.query_params[key] = value
    return at.switch_page(f"pages/{page}").run()


@pytest.mark.parametrize("name", list(catalogue.studies()))
def test_every_shipped_study_asks_something_in_one_line(name: str) -> None:
    asks = shipped_question(name)
    assert asks.endswith("?") and 20 < len(asks) <= study.LONGEST_QUESTION


@pytest.mark.parametrize("given", [3, "two\nlines", "x" * 301])
def test_a_question_that_is_no_line_is_refused(given: object) -> None:
    with pytest.raises(UserError, match="must be one line of at most 300 characters"):
        study.resolve({**study.load("quick"), "question": given})


def test_a_question_changes_no_run() -> None:
    source = study.load("quick")
    mine, plain = study.resolve({**source, "question": "Mine?"}), study.resolve({k: v for k, v in source.items() if k != "question"})  # fmt: skip
    assert [run.fingerprint for run in mine.runs] == [run.fingerprint for run in plain.runs]
    assert question_of("anything", mine.document) == "Mine?"
    # Stored before files had questions: that of the shipped study, where it is the same one.
    assert question_of("quick", plain.document) == shipped_question("quick")
    assert question_of("other", plain.document) == ""
    other = {**plain.document, "source": {**source, "recipes": []}}
    other["source"].pop("question")
    assert question_of("quick", other) == ""


@pytest.mark.parametrize(
    "page", ["1_Frontier.py", "2_Robustness.py", "4_Compare.py", "10_Figures.py"]
)
def test_below_the_picker_stands_what_the_study_asks(page: str) -> None:
    seed_study(require_database(), SMALL)
    said = told(opened(page))
    assert "What does suppression only hide" in said
    assert "3 configurations · 1 seed · finished 20" in said


def test_a_study_at_work_says_how_far_it_is() -> None:
    seed_study(require_database(), SMALL, stop_after=9)
    assert f"9 of {len(reads.run_states(require_database()))} runs complete" in told(opened("1_Frontier.py"))  # fmt: skip


def test_an_import_says_that_it_was_not_run_here(tmp_path: Path) -> None:
    ready = prepared(
        [from_path(files.write(tmp_path / "r.json", files.uds()))], None, name="_theirs_"
    )
    store(require_database(), ready)
    said = told(opened("1_Frontier.py")).replace("\\", "")
    assert "others' results (uds), not run here · 3 configurations · imported 20" in said


def test_launch_says_what_each_study_asks_and_keeps_it() -> None:
    seed_study(require_database(), SMALL)
    at = opened("5_Launch.py")
    assert "What does suppression only hide" in told(at)
    table = next(frame.value for frame in at.dataframe if "Asks" in frame.value).set_index("Study")
    assert set(catalogue.studies()) <= set(table.index) and table["Asks"].str.len().min() > 1
    assert table.loc["methods", "Here"] == "not yet" and "runs" in table.loc["quick", "Here"]
    field = next(box for box in at.text_input if box.label == "What it asks")
    field.set_value("Does mine last?").run()
    assert not at.exception
    assert any('question = "Does mine last?"' in code.value for code in at.code)


def test_the_command_line_lists_questions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["studies", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["collapse"]["question"] == shipped_question("collapse")
    assert main(["studies"]) == 0
    assert "Does NPO collapse more slowly" in capsys.readouterr().out
