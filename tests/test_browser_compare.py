"""From the frontier to a comparison in a real Chromium: the selection follows, the view is in the address."""

import csv
import io
from typing import Any

from db import reads, session
from tests.in_browser import IDLE, NEEDS_BROWSER, downloaded, expect, open_at, pick, stays_within
from tests.seed_database import seed_study

SMALL = (
    'recipes=[{suppress="max_ent"}, {suppress="max_ent", robustify={name="undo", alpha=[0.2, 0.8]}}]',
    "attacks.0.learning_rate=[1e-3]",
    "seeds=[0, 1, 2]",
)
UNDO = "MaxEnt → UNDO (α 0.8)"

pytestmark = NEEDS_BROWSER


def test_points_picked_on_the_frontier_are_compared_and_reported(serve: Any, page: Any) -> None:
    address = serve()
    seed_study(session.require_database(), SMALL)
    open_at(page, f"{address}/?study=quick", "Frontier")
    pick(page, "MaxEnt")
    pick(page, UNDO, shift=True)
    page.get_by_test_id("stSidebarNavLink").filter(has_text="Compare").click()
    expect(page.get_by_role("heading", name="Compare", level=1)).to_be_visible()
    expect(page.get_by_text(f"{UNDO} against MaxEnt: better in robust")).to_be_visible()
    expect(page.locator("svg.marks").first).to_be_visible()
    page.get_by_role("button", name="Add to report").first.click()
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("link", name="open the report")).to_be_visible()
    engine = session.require_database()
    report = reads.report(engine, int(reads.reports(engine)["id"].iloc[0]))
    assert report["blocks"][0]["content"]["spec"]["$schema"].startswith("https://vega.github.io")


def test_the_comparison_is_in_the_address(serve: Any, page: Any) -> None:
    address = serve()
    seed_study(session.require_database(), SMALL)
    open_at(page, f"{address}/Compare?study=quick&pick=MaxEnt&pick={UNDO}", "Compare")
    expect(page.get_by_text(f"{UNDO} against MaxEnt")).to_be_visible()
    page.get_by_role("combobox", name="Reference", exact=True).click()
    page.get_by_role("option", name=UNDO, exact=True).click()
    expect(page.get_by_text(f"MaxEnt against {UNDO}: ")).to_be_visible()
    page.get_by_role("combobox", name="Test", exact=True).click()
    page.get_by_role("option", name="Wilcoxon signed-rank test, exact").click()
    expect(page.get_by_text("cannot give less than p = 0.25")).to_be_visible()
    page.wait_for_selector(IDLE)
    assert "ref=" in page.url and "test=Wilcoxon" in page.url and "pick=MaxEnt" in page.url
    page.reload()
    expect(page.get_by_text("cannot give less than p = 0.25")).to_be_visible()
    expect(page.get_by_text(f"MaxEnt against {UNDO}: ")).to_be_visible()
    page.wait_for_selector(IDLE)
    rows = list(csv.DictReader(io.StringIO(downloaded(page, "CSV of the tests").decode())))
    assert {row["reference"] for row in rows} == {UNDO} and len(rows) == 4
    assert {row["verdict"] for row in rows} <= {"not distinguishable", "constant", "equal"}


def test_compare_fits_a_phone(serve: Any, page: Any) -> None:
    address = serve()
    seed_study(session.require_database(), SMALL)
    page.set_viewport_size({"width": 320, "height": 900})
    open_at(page, f"{address}/Compare", "Compare")
    stays_within(page, "Compare")
