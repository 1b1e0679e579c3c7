"""The page of reports: a review from its template to a decision, and what it says where something is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from backend.reports import review
from db import reads, writes
from db.models import Report
from tests.report_data import engine, small_home
from tests.test_pages import told

__all__ = ["engine", "small_home"]  # fixtures
ROOT = Path(__file__).resolve().parents[1]
Open = Callable[..., AppTest]


@pytest.fixture
def opened(engine: Engine) -> Open:
    """Open the page of reports at an address."""

    def at(**address: str) -> AppTest:
        page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
        for key, value in address.items():
            page.query_params[key] = value
        found = page.switch_page("pages/8_Reports.py").run()
        assert not found.exception, found.exception[0].value
        return found

    return at


def named(at: AppTest, key: str) -> str:
    """What the address says."""
    found = at.query_params[key]
    return found if isinstance(found, str) else found[0]


def button(at: AppTest, label: str, which: int = 0) -> Any:
    return [one for one in at.button if one.label == label][which]


def press(at: AppTest, label: str, which: int = 0) -> AppTest:
    found = button(at, label, which).click().run()
    assert not found.exception, found.exception[0].value
    return found


def test_from_the_template_to_the_decision(engine: Engine, opened: Open) -> None:
    at = press(opened(), "Begin")
    assert at.title[0].value == "Review of quick" and named(at, "report") == "1"
    assert len(at.get("vega_lite_chart")) == 1
    assert "hold every gate" in told(at) or "holds every gate" in told(at)
    assert "needs a frozen report" in told(at)
    at = press(at, "Freeze this report")
    assert "Verified just now" in told(at) and reads.report(engine, 1)["sha256"] in told(at)
    assert not [one for one in at.button if one.label in ("Edit", "Remove", "Freeze this report")]
    at = press(at, "Record the decision")
    assert any("Choose" in one.value for one in at.error)
    at.radio[0].set_value("reject")
    next(one for one in at.text_input if one.label == "Reviewer").set_value("Grace")
    next(one for one in at.text_area if one.label == "Reason").set_value("It **comes** back.")
    at = press(at, "Record the decision")
    assert "✗ Rejected" in told(at) and "Grace" in told(at)
    assert "It **comes** back." in [one.value for one in at.text]
    trail = reads.report_events(engine, 1)
    assert trail["kind"].tolist() == ["created", "frozen", "reject"]
    assert "✗ Rejected" in told(opened())  # on the list


def test_a_frozen_report_shows_the_same_when_newer_results_are_there(
    engine: Engine, opened: Open
) -> None:
    from tests.report_data import SMALL
    from tests.seed_database import seed_study

    report = review.begin_review(engine, "quick")
    review.freeze(engine, report)
    before = opened(report="1")
    seed_study(engine, (*SMALL, "seeds=[0, 1]"))
    after = opened(report="1")
    assert "finished since" in told(after) and "finished since" not in told(before)
    specs = [one.get("vega_lite_chart")[0].proto.spec for one in (before, after)]
    assert specs[0] == specs[1] and "MaxEnt" in specs[0]
    bodies = [[one.proto.body for one in page.get("html") if "rep" in one.proto.body and "finished since" not in one.proto.body] for page in (before, after)]  # fmt: skip
    assert [b for b in bodies[0] if "<table" in b] == [b for b in bodies[1] if "<table" in b]


def test_a_changed_database_is_said_in_red(engine: Engine, opened: Open) -> None:
    report = review.begin_review(engine, "quick")
    review.freeze(engine, report)
    with engine.begin() as c:
        changed = reads.report(engine, report)["frozen"].replace("MaxEnt", "MaxInt")
        c.execute(Report.__table__.update().values(frozen=changed))
    assert any("not what was frozen" in one.value for one in opened(report="1").error)


def test_blocks_are_changed_moved_removed_and_brought_back(engine: Engine, opened: Open) -> None:
    review.begin_review(engine, "quick")
    at = press(opened(report="1"), "Down")
    assert [b["kind"] for b in reads.report(engine, 1)["blocks"]][:2] == ["chart", "text"]
    at = press(at, "Edit", 1)
    next(one for one in at.text_area if one.label == "Text").set_value("# Mine\n\n<b>x</b>")
    at = press(at, "Save")
    assert "&lt;b&gt;x&lt;/b&gt;" in told(at) and "<h3>Mine</h3>" in told(at)
    at = press(at, "Remove", 0)
    assert len(reads.report(engine, 1)["blocks"]) == 4
    back = next(one.label for one in at.button if one.label.startswith("Bring back"))
    press(at, back)
    assert [b["kind"] for b in reads.report(engine, 1)["blocks"]][0] == "chart"


def test_gates_are_changed_and_asked_anew(engine: Engine, opened: Open) -> None:
    review.begin_review(engine, "quick")
    at = press(opened(report="1"), "Edit", 3)
    next(one for one in at.selectbox if one.label == "One more gate").set_value("recovery")
    at = at.run()
    next(one for one in at.selectbox if one.label == "Under").set_value("relearn")
    next(one for one in at.number_input if one.label == "Up to step").set_value(20)
    next(one for one in at.number_input if one.label == "Limit").set_value(0.01)
    at = press(at.run(), "Add this gate")
    next(one for one in at.checkbox if one.label == "Must hold with the interval").set_value(True)
    at = press(at.run(), "Save")
    content = reads.report(engine, 1)["blocks"][3]["content"]
    assert content["gates"][-1] == {
        "kind": "recovery", "limit": 0.01, "side": "most", "attack": "relearn", "budget": 20, "metric": None,
    }  # fmt: skip
    asked = [row for row in content["rows"] if row["gate"].endswith("under relearn at 20 steps")]
    assert asked and {row["budget"] for row in asked} == {20}
    assert not [
        row for row in content["rows"] if row["state"] == "holds"
    ]  # one seed has no interval
    assert "unknown" in told(at) and "no interval to hold" in told(at)


@pytest.mark.parametrize("wanted", ["7", "x", "-1", "²", "99999999999999999999", ""])
def test_an_unknown_report_is_a_sentence(opened: Open, wanted: str) -> None:
    at = opened(report=wanted)
    assert "no such report" in told(at) and at.title[0].value == "Reports"


def test_a_reports_words_are_never_markup(engine: Engine, opened: Open) -> None:
    evil = "<script>alert(1)</script> **b** :red[x] $y$"
    report = writes.create_report(engine, evil)
    case = {"prompt": evil, "answers": [{"model": evil, "text": evil, "leaks": [evil]}]}
    writes.add_block(engine, report, "case", evil, case)
    writes.add_block(engine, report, "chart", "Broken", {"spec": {"data": {"url": "http://x"}}})
    at = opened(report=str(report))
    assert any("names an address" in one.value for one in at.error)
    shown = [at, opened(), opened(report=str(report), present="yes", slide="2")]
    for page in shown:
        bodies = [one.proto.body for one in page.get("html")]
        assert not [
            body for body in bodies if "<script" in body or "**b**</" in body and "<b>" in body
        ]
        for heading in [*page.title, *page.header, *page.subheader]:
            assert "<script" not in heading.value.replace("\\<script", ""), heading.value
    assert "&lt;script&gt;" in told(at)


@pytest.mark.parametrize("slide", ["1", "5", "99", "x"])
def test_every_slide_opens_at_its_address(engine: Engine, opened: Open, slide: str) -> None:
    review.begin_review(engine, "quick")
    at = opened(report="1", present="yes", slide=slide)
    place = min(max(int(slide), 1), 7) if slide.isdigit() else 1
    assert f"Slide {place} of 7" in told(at)
    if place < 7:
        at = press(at, "Next")
        assert f"Slide {place + 1} of 7" in told(at) and named(at, "slide") == str(place + 1)


ADDING = """
import sys; sys.path.insert(0, {root!r})
import streamlit as st
from pages.components.reporting import add_to_report
add_to_report("text", "A finding", lambda: {{"text": "56", "n": float("nan")}}, key="one")
add_to_report("text", "Another", lambda: {{"text": object()}}, key="two")
"""


def test_what_is_added_says_where_it_went_and_the_report_is_remembered(engine: Engine) -> None:
    at = AppTest.from_string(ADDING.format(root=str(ROOT)), default_timeout=300).run()
    at = press(at, "Add", 0)
    assert "Reports?report=1" in told(at)
    at = press(at, "Add", 0)
    assert "already" in told(at) and len(reads.report(engine, 1)["blocks"]) == 1
    assert [box.value for box in at.selectbox] == [1, 1]
    at = press(at, "Add", 1)
    assert any("cannot hold" in one.value for one in at.error)
    found = reads.report(engine, 1)
    assert found["title"] == "Review" and found["blocks"][0]["content"] == {"text": "56", "n": None}
