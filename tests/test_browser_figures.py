"""The papers' figures in a real Chromium: drawn, narrowed to a choice, and handed over."""

from typing import Any

from db import session
from tests.in_browser import IDLE, NEEDS_BROWSER, downloaded, expect, open_at, open_downloads
from tests.seed_database import seed_study
from tests.test_figures import SMALL

pytestmark = NEEDS_BROWSER


def test_figures_are_drawn_handed_over_and_follow_a_choice(serve: Any, page: Any) -> None:
    address = serve()
    seed_study(session.require_database(), overrides=SMALL)
    open_at(page, f"{address}/Figures?study=quick", "Figures")
    first = page.get_by_test_id("stVegaLiteChart").first
    expect(first.get_by_text("UNDO α 0.8")).to_be_visible()
    open_downloads(page)
    assert "UNDO α 0.8" in downloaded(page, "SVG").decode()
    open_at(page, f"{address}/Figures?study=quick&pick=MaxEnt%20→%20UNDO%20(α%200.2)", "Figures")
    expect(first.get_by_text("UNDO α 0.2")).to_be_visible()
    expect(first.get_by_text("UNDO α 0.8")).to_have_count(0)
    page.get_by_role("link", name="Robustness with these").click()
    expect(page.get_by_role("heading", name="Robustness", level=1)).to_be_visible()
    page.wait_for_selector(IDLE)
    assert "pick=MaxEnt" in page.url
