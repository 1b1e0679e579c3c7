"""What may go on the Data page: an empty box for what costs something, and a place that does not answer."""

import pytest
from streamlit.testing.v1 import AppTest

from backend import artifacts
from tests.in_browser import free_port
from tests.test_pages import ROOT
from tests.test_retention import here, made

__all__ = ["made"]  # a fixture


def test_the_data_page_lists_them_with_an_empty_box(made: dict[str, int]) -> None:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    at.query_params["part"] = "Storage"
    at.switch_page("pages/9_Data.py").run()
    assert not at.exception, at.exception[0].value
    box = at.checkbox(key="gc dominated")
    assert not box.value and "training it again" in box.label and "1 file" in box.label
    box.check().run()
    assert any("would have to be trained again" in one.value for one in at.markdown)
    at.button(key="gc").click().run()
    assert not at.exception, at.exception[0].value
    assert here(made) == set(made) - {"grad_diff"}


def test_a_place_that_does_not_answer_is_told_on_the_page_and_the_rest_is_shown(made: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv(artifacts.ENVIRONMENT, f"ftp://ada:secret@127.0.0.1:{free_port()}/models")
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    at.query_params["part"] = "Storage"
    at.switch_page("pages/9_Data.py").run()
    assert not at.exception, at.exception[0].value
    assert ["could not be reached" in one.value and "secret" not in one.value for one in at.warning] == [True]  # fmt: skip
    assert at.checkbox(key="gc dominated")
