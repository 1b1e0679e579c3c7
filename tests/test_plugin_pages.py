"""What a plugin adds to the pages, and what they show of it once it is gone."""

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from backend import study
from backend.results import frontier_document, run_rows
from db.session import require_database
from tests import seed_database
from tests.own_parts import ASCENT, METRIC, written
from tests.test_pages import PAGES, told

ROOT = Path(__file__).resolve().parents[1]
RECIPES = '[{suppress="clipped_ascent"}, {suppress="clipped_ascent", robustify={name="undo", alpha=0.4}}]'  # fmt: skip
OVERRIDES = (f"recipes={RECIPES}", "attacks.0.learning_rate=[1e-3]")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(data directory, folder of plugins): a study of a user's method, played to the end."""
    home, own = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("own")
    written(own, "ascent.py", ASCENT)
    written(own, "surprise.py", METRIC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LETHE_HOME", str(home))
        patch.setenv("LETHE_PLUGINS", str(own))
        patch.delenv("LETHE_DATABASE_URL", raising=False)
        models: dict[Any, Any] = {("clipped_ascent", None): (0.05, 0.6, 0.98, 0.05)}
        patch.setattr(seed_database, "MODELS", {**seed_database.MODELS, **models})
        seed_database.seed_study(require_database(), OVERRIDES)
    return home, own


def opened(page: str, home: Path, monkeypatch: pytest.MonkeyPatch, **address: str) -> AppTest:
    monkeypatch.setenv("LETHE_HOME", str(home))
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    for key, value in address.items():
        at.query_params[key] = value
    at.switch_page(f"pages/{page}").run()
    assert not at.exception, (page, at.exception[0].value)
    return at


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("here", [True, False])
def test_every_page_shows_a_study_of_a_plugin_that_is_here_or_gone(
    played: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, page: str, here: bool
) -> None:
    if here:
        monkeypatch.setenv("LETHE_PLUGINS", str(played[1]))
    opened(page, played[0], monkeypatch)


def test_the_frontier_and_the_runs_keep_an_absent_parts_name(
    played: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = opened("1_Frontier.py", played[0], monkeypatch)
    shown = at.dataframe[-1].value
    assert "Clipped ascent" in list(shown["configuration"])
    row = frontier_document(require_database(), "quick")["rows"][2]
    assert (row["method"], row["weak_evidence"].count("stale code")) == ("clipped_ascent", 0)
    at = opened("3_Runs.py", played[0], monkeypatch, filter="method:clipped_ascent")
    assert any("clipped_ascent" in frame.value.to_csv() for frame in at.dataframe)


def test_a_run_of_an_absent_plugin_opens_and_its_clone_says_what_is_missing(
    played: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETHE_HOME", str(played[0]))
    rows = run_rows(require_database(), "quick")
    number = next(str(row["id"]) for row in rows if row["name"] == "clipped_ascent")
    assert "clipped_ascent" in told(opened("3_Runs.py", played[0], monkeypatch, run=number))
    at = opened("5_Launch.py", played[0], monkeypatch, clone=number)
    assert "There is no method 'clipped_ascent'" in " ".join(error.value for error in at.error)


def test_an_edited_plugin_makes_the_frontiers_points_stale(
    played: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written(tmp_path, "ascent.py", ASCENT + "\n# edited\n")
    monkeypatch.setenv("LETHE_PLUGINS", str(tmp_path))
    monkeypatch.setenv("LETHE_HOME", str(played[0]))
    rows = frontier_document(require_database(), "quick")["rows"]
    assert [("stale code" in row["weak_evidence"]) for row in rows] == [False, False, True, True]


def test_launch_offers_a_plugin_and_says_where_it_is_from(
    played: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LETHE_PLUGINS", str(played[1]))
    at = opened("5_Launch.py", tmp_path / "none", monkeypatch, study="quick")
    first = next(box for box in at.selectbox if box.label == "Suppress")
    assert "clipped_ascent" in first.options
    first.set_value("clipped_ascent").run()
    assert not at.exception and not at.error
    assert f"From the plugin `{played[1] / 'ascent.py'}`." in told(at)
    assert any(field.label == "ceiling" for field in at.text_input)


def test_launch_names_a_part_that_is_not_here_and_does_not_change_the_study(
    played: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LETHE_HOME", str(played[0]))
    shipped = study.load("quick")
    with monkeypatch.context() as patch:  # a study of the database that no file has
        patch.setattr(study, "load", lambda name, overrides=None: {**shipped, **SOURCE})
        at = opened("5_Launch.py", played[0], monkeypatch, study="quick")
    said = " ".join(error.value for error in at.error)
    assert "There is no method 'clipped_ascent'" in said and "LETHE_PLUGINS" in said
    assert "There is no attack 'own_attack'" in said
    assert not any(button.key == "queue" for button in at.button)
    box = next(box for box in at.selectbox if box.label == "Suppress")
    assert box.value == "clipped_ascent"


SOURCE = {"recipes": [{"suppress": "clipped_ascent"}], "attacks": [{"name": "own_attack"}]}


@pytest.mark.parametrize("part", [{"setting": {"name": "own_setting"}}, {"metrics": ["surprise"]}])
def test_launch_says_which_setting_or_metric_is_not_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, part: dict[str, Any]
) -> None:
    shipped = study.load("quick")
    monkeypatch.setattr(study, "load", lambda name, overrides=None: {**shipped, **part})
    at = opened("5_Launch.py", tmp_path / "none", monkeypatch, study="quick")
    (said,) = [error.value for error in at.error]
    assert "There is no " in said and "LETHE_PLUGINS" in said


def test_definitions_say_where_a_plugins_metric_lies(
    played: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETHE_PLUGINS", str(played[1]))
    at = opened("11_Definitions.py", played[0], monkeypatch, of="surprise")
    assert "Twice the loss of an item" in told(at) and "surprise.py" in told(at)


def test_a_refused_plugin_is_told_on_every_page_and_takes_none_away(
    played: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LETHE_PLUGINS", str(written(tmp_path, "bad.py", "def (")))
    for page in ("1_Frontier.py", "11_Definitions.py"):
        at = opened(page, played[0], monkeypatch)
        assert "does not parse" in at.sidebar.error[0].value
