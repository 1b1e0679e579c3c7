"""The list of runs in a real Chromium: filter, order, ticks, deletion with undo, and the way back."""

import contextlib
from typing import Any

import pytest

from db import reads, session
from tests.in_browser import (
    IDLE,
    NEEDS_BROWSER,
    downloaded,
    expect,
    expecting,
    fill,
    open_at,
    open_downloads,
    stays_within,
)
from tests.seed_database import seed_study

SMALL = (
    'recipes=[{suppress="max_ent"}, {suppress="max_ent", robustify={name="undo", alpha=[0.2, 0.8]}}]',
    "attacks.0.learning_rate=[1e-3, 3e-3]",
    "seeds=[0, 1]",
)
HEAD, ROW, TICK = (
    18,
    35,
    20,
)  # pixels: the middle of the headings, a row, the middle of the ticks' column

pytestmark = NEEDS_BROWSER


@pytest.fixture
def runs(serve: Any, page: Any) -> str:
    """The address of a list of 40 runs, four of which failed."""
    address = serve()
    seed_study(session.require_database(), SMALL, fail=("undo",))
    open_at(page, f"{address}/Runs?filter=method:max_ent", "Runs")  # a deep link comes first
    return f"{address}/Runs"


def click_in_list(page: Any, x: float, y: float) -> None:
    page.get_by_test_id("stDataFrame").first.click(position={"x": x, "y": y})


def sort_by_click(page: Any, x: float, told: str) -> None:
    """Click a heading until the address says so; a list that was just drawn anew may not hear the first click."""
    for _ in range(4):
        page.wait_for_selector(IDLE)
        page.wait_for_timeout(700)
        click_in_list(page, x, HEAD)
        for _ in range(120):
            page.wait_for_timeout(250)
            if f"sort={told}" in page.url:
                page.wait_for_selector(IDLE)
                return
    raise AssertionError(f"sort={told} is not in {page.url}")


def tick_the_first(page: Any) -> None:
    """Tick a list's first run; what the list tells readers without eyes says whether it heard the click."""
    row = page.locator('[data-testid="stDataFrame"] tr[aria-rowindex="2"]').first
    for _ in range(10):
        click_in_list(page, TICK, 40 + ROW // 2)
        with contextlib.suppress(AssertionError):
            expecting()(row).to_have_attribute("aria-selected", "true", timeout=20_000)
            return
    raise AssertionError("the list hears no click")


def test_a_filter_is_in_the_address_and_back_takes_it_off(runs: str, page: Any) -> None:
    expect(page.get_by_text("1–2 of 2 that match; 40 in all")).to_be_visible()
    fill(page, "Filter", "state:failed")
    expect(page.get_by_text("1–4 of 4 that match")).to_be_visible()
    assert "filter=state%3Afailed" in page.url
    fill(page, "Filter", "state:fail")
    expect(page.get_by_text("state is one of")).to_be_visible()
    expect(page.get_by_text("1–4 of 4 that match")).to_be_visible()
    fill(page, "Filter", "stage:base")
    expect(page.get_by_text("1–2 of 2 that match")).to_be_visible()
    page.get_by_role("button", name="Attacks", exact=True).click()
    expect(page.get_by_text("No run matches")).to_be_visible()
    for told in ("1–2 of 2 that match", "state is one of", "1–4 of 4 that match"):
        page.go_back()
        expect(page.get_by_text(told)).to_be_visible()
        page.wait_for_selector(IDLE)
    page.reload()
    expect(page.get_by_text("4 that match")).to_be_visible()


def test_a_click_on_a_heading_sorts_the_whole_list(runs: str, page: Any) -> None:
    open_at(page, f"{runs}?columns=id,seed&size=25", "Runs")
    width = page.get_by_test_id("stDataFrame").first.bounding_box()["width"]
    sort_by_click(page, width * 0.75, "-seed")
    sort_by_click(page, width * 0.75, "seed")
    page.get_by_role("button", name="Page 2", exact=True).click()
    page.wait_for_url("**page=2**")
    expect(page.get_by_text("26–40 of 40")).to_be_visible()


def test_ticked_runs_are_deleted_and_brought_back(runs: str, page: Any) -> None:
    open_at(page, f"{runs}?filter=state:failed", "Runs")
    tick_the_first(page)
    expect(page.get_by_text("1 chosen")).to_be_visible()
    page.get_by_test_id("stPopoverButton").filter(has_text="Delete").click()
    page.get_by_role("button", name="Move to the trash").click()
    expect(page.get_by_text("runs are in the trash.")).to_be_visible()
    expect(page.get_by_text("1–3 of 3 that match")).to_be_visible()
    page.get_by_role("button", name="Undo", exact=True).click()
    expect(page.get_by_text("1–4 of 4 that match")).to_be_visible()
    assert reads.trash(session.require_database()).runs == 0


def test_ticked_runs_lead_to_their_configurations(runs: str, page: Any) -> None:
    tick_the_first(page)
    expect(page.get_by_text("1 chosen")).to_be_visible()
    page.get_by_test_id("stMain").get_by_role("link", name="Frontier", exact=True).click()
    expect(page.get_by_role("heading", name="MaxEnt", exact=True)).to_be_visible()


def test_parallel_coordinates_are_clicked_and_handed_over(runs: str, page: Any) -> None:
    open_at(page, f"{runs}?show=Parallel+coordinates&filter=", "Runs")
    point = page.locator("path[aria-roledescription='circle'][aria-label='MaxEnt']").first
    expect(point).to_be_visible()
    for _ in range(3):  # a chart that was just drawn anew may not hear the first click
        point.dispatch_event("click")
        with contextlib.suppress(AssertionError):
            chosen = page.get_by_role("button", name="Clear selection")
            expecting()(chosen).to_be_visible(timeout=60_000)
            break
    page.wait_for_url("**pick=MaxEnt**")
    open_downloads(page)
    assert downloaded(page, "PDF").startswith(b"%PDF")
    assert downloaded(page, "CSV").startswith(b"name,method,")


@pytest.mark.parametrize("width", [320, 700])
def test_no_view_scrolls_sideways(runs: str, page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for view in ("", "?filter=state:fail", "?show=Parallel+coordinates", "?show=Trash", "?run=1"):
        open_at(page, f"{runs}{view}", "Runs")
        stays_within(page, view)
