"""Definitions: every number that a page shows is told, with its direction and source."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from backend import catalogue
from backend.charts.theme import NAMES
from backend.definitions import OBJECTIVES, definition_of, definitions
from backend.given_files import from_path
from backend.importing import prepared, store
from db.session import home, require_database
from tests import result_files as files
from tests.test_pages import ROOT


def test_every_objective_metric_and_attack_is_defined_once() -> None:
    known = [one.name for one in definitions()]
    parts = [part.name for kind in ("metrics", "attacks") for part in catalogue.parts(kind)]
    assert known[: len(NAMES)] == [one.name for one in OBJECTIVES] and set(known[:4]) == set(NAMES)
    assert sorted(known[len(NAMES) :]) == sorted(parts) and len(set(known)) == len(known)
    for one in definitions():
        assert one.label and one.summary and one.direction and one.range
        assert one.formula and one.limits if one.kind == "objective" else one.source or one.kind == "metric"  # fmt: skip


def test_directions_are_those_that_the_charts_draw() -> None:
    arrows = {one.name: one.direction[0] for one in OBJECTIVES}
    assert arrows == {"robust_forget_quality": "↑", "claimed_forget_quality": "↑", "utility": "↑", "compute": "↓"}  # fmt: skip


@pytest.mark.parametrize(
    ("of", "told"),
    [("utility", "What it does not tell"), ("loss", "2506"), ("nope", "no number called nope")],
)
def test_the_address_names_a_number(of: str, told: str) -> None:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    at.query_params["of"] = of
    at.switch_page("pages/11_Definitions.py").run()
    assert not at.exception
    assert told in " ".join(text.value for text in (*at.markdown, *at.warning))
    assert at.selectbox[0].value == (of if of != "nope" else "robust_forget_quality")


def opened(of: str) -> AppTest:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    at.query_params["of"] = of
    return at.switch_page("pages/11_Definitions.py").run()


def test_numbers_of_imported_studies_stand_in_a_section_of_their_own(tmp_path: Path) -> None:
    path = files.write(tmp_path / "results.json", files.uds())
    store(require_database(), prepared([from_path(path)], None, name="theirs"))
    table = files.write(tmp_path / "mine.csv", files.TABLE)
    store(require_database(), prepared([from_path(table)], None, name="a table"))
    at = opened("uds")
    assert not at.exception
    assert at.selectbox[0].value == "uds" and not at.warning
    assert "reported by others" in at.caption[0].value
    shown = next(d.value for d in at.dataframe if "What the files say" in d.value).set_index(
        "Number"
    )
    assert shown.loc["Unlearning depth (UDS)", "Direction"] == "↑ higher is better; ↓ more is less capability"  # fmt: skip
    assert shown.loc["Unlearning depth (UDS)", "Range"] == "0 … 1 score"
    assert shown.loc["Unlearning depth (UDS)", "Source"] == "uds: results.json"
    # A number with the name of an objective of ours has the name of its axis, and says who reports it.
    other = opened("reported_utility")
    assert other.selectbox[0].value == "reported_utility" and not other.warning
    said = " ".join(text.value for text in other.markdown)
    assert "theirs reports it as utility" in said and "a table reports it as utility" in said
    ours = next(d.value for d in at.dataframe if "Floor" in d.value)
    assert "Unlearning depth (UDS)" not in set(ours["Number"])


def test_without_imports_there_is_no_such_section() -> None:
    at = opened("utility")
    assert not any("What others report" in one.value for one in at.subheader)


def test_a_damaged_database_keeps_nobody_from_definitions() -> None:
    home().mkdir(parents=True, exist_ok=True)
    (home() / "lethe.db").write_bytes(b"no database")
    at = opened("utility")
    assert not at.exception and at.selectbox[0].value == "utility"


def test_an_axis_on_a_part_of_the_data_is_defined_by_its_metric() -> None:
    known = {one.name for one in definitions()}
    assert definition_of("forget_loss", known) == "loss"
    assert definition_of("utility", known) == "utility"
    assert definition_of("forget_nothing", known) == "forget_nothing"
