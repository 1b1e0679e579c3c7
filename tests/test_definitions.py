"""Definitions: every number that a page shows is told, with its direction and source."""

import pytest
from streamlit.testing.v1 import AppTest

from backend import catalogue
from backend.charts.theme import NAMES
from backend.definitions import OBJECTIVES, definitions
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
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    at.query_params["of"] = of
    at.switch_page("pages/7_Definitions.py").run()
    assert not at.exception
    assert told in " ".join(text.value for text in (*at.markdown, *at.warning))
    assert at.selectbox[0].value == (of if of != "nope" else "robust_forget_quality")
