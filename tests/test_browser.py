"""A person's way through the dashboard in a real Chromium: launch, work, look, download."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from db import reads, session, writes
from tests.in_browser import (
    IDLE,
    NEEDS_BROWSER,
    ROOT,
    downloaded,
    expect,
    fill,
    open_at,
    open_downloads,
    pick,
    stays_within,
    wait_for,
)
from tests.seed_database import seed_study

SMALL = (
    'recipes=[{suppress="max_ent"}, {suppress="max_ent", robustify={name="undo", alpha=[0.2, 0.8]}}]',
    "attacks.0.learning_rate=[1e-3, 3e-3]",
)

pytestmark = NEEDS_BROWSER


def test_from_the_form_to_the_point_of_a_small_study(serve: Any, page: Any, tmp_path: Path) -> None:
    address = serve()
    open_at(page, f"{address}/Launch?study=an+empty+form", "Launch")  # a deep link comes first
    expect(page.get_by_test_id("stSidebarNavLink").first).to_be_visible()
    fill(page, "Name", "tiny")
    page.get_by_text("Setting", exact=True).first.click()
    for label, value in (("addends", "10"), ("factors", "10"), ("base steps", "300")):
        fill(page, label, value)
    fill(page, "batch size", "64")
    page.get_by_text("Parameters of relearn", exact=True).first.click()
    attacks = page.get_by_test_id("stExpander").filter(has_text="Parameters of relearn")
    for label, value in (("learning rate", "1e-3, 3e-3"), ("steps", "30")):
        field = attacks.get_by_role("textbox", name=label, exact=True).first
        field.fill(value)
        field.press("Enter")
        page.wait_for_timeout(400)
        page.wait_for_selector(IDLE)
    expect(page.get_by_text("12 of 12")).to_be_visible()
    page.get_by_role("button", name="Queue 12 runs").click()
    page.get_by_role("link", name="Watch it on Jobs").click()
    expect(page.get_by_role("heading", name="Jobs", level=1)).to_be_visible()
    page.get_by_role("button", name="Start a worker").click()
    engine = session.require_database()
    try:
        wait_for(lambda: reads.counts(engine)["complete"] == 12, 1200)
        expect(page.get_by_text("Nothing is running.")).to_be_visible()
        look_at_the_point(page, address)
    finally:
        stop_workers(engine)


def stop_workers(engine: Any) -> None:
    for worker in reads.workers(engine)["id"]:
        writes.request_stop(engine, worker)
    wait_for(lambda: reads.workers(engine).empty, 300)


def look_at_the_point(page: Any, address: str) -> None:
    """Click the point, read why it is there, and follow it to its run and back."""
    open_at(page, f"{address}/?study=tiny", "Frontier")
    pick(page, "MaxEnt")
    expect(page.get_by_text("recovery = (after").first).to_be_visible()
    assert "pick=MaxEnt" in page.url
    page.reload()
    expect(page.get_by_text("recovery = (after").first).to_be_visible()
    page.get_by_role("link", name=re.compile(r"^run \d+$")).first.click()
    expect(page.get_by_role("heading", name="suppress max_ent, seed 0")).to_be_visible()
    expect(page.get_by_text("complete").first).to_be_visible()
    page.go_back()
    expect(page.get_by_text("recovery = (after").first).to_be_visible()


def test_downloads_are_what_their_names_say(serve: Any, page: Any, tmp_path: Path) -> None:
    address = serve()
    seed_study(session.require_database(), overrides=SMALL)
    open_at(page, f"{address}/", "Frontier")
    expect(page.locator("svg.marks").first).to_be_visible()
    open_downloads(page)
    found = {}
    for label in ("PNG", "SVG", "PDF", "HTML", "Vega-Lite", "CSV", "LaTeX", "Markdown"):
        found[label] = downloaded(page, label)
    assert found["PNG"].startswith(b"\x89PNG")
    assert found["PDF"].startswith(b"%PDF") and b"FontFile2" in found["PDF"]
    assert b"<svg" in found["SVG"] and b"<text" in found["SVG"]
    assert b"http" not in found["HTML"].split(b"</head>")[0] or b"<script src" not in found["HTML"]
    assert json.loads(found["Vega-Lite"])["$schema"].startswith("https://vega.github.io")
    assert found["CSV"].startswith(b"configuration,") and b"MaxEnt" in found["CSV"]
    assert rb"\toprule" in found["LaTeX"]
    assert b"| Configuration |" in found["Markdown"]


def test_the_view_is_in_the_address(serve: Any, page: Any) -> None:
    address = serve()
    seed_study(session.require_database(), overrides=SMALL)
    open_at(page, f"{address}/?x=Compute&size=Utility&pick=MaxEnt", "Frontier")
    expect(page.get_by_role("heading", name="MaxEnt", exact=True)).to_be_visible()
    assert "x=Compute" in page.url
    page.reload()
    expect(page.get_by_text("Compute (↓", exact=False).first).to_be_visible()
    expect(page.get_by_role("heading", name="MaxEnt", exact=True)).to_be_visible()
    page.get_by_role("button", name="Clear selection").click()
    page.wait_for_url(lambda url: "pick" not in url)
    expect(page.get_by_role("heading", name="MaxEnt", exact=True)).to_have_count(0)
    assert "x=Compute" in page.url


@pytest.mark.parametrize("width", [320, 700])
def test_no_page_scrolls_sideways(serve: Any, page: Any, width: int) -> None:
    address = serve()
    seed_study(session.require_database(), overrides=SMALL, fail=("undo",))
    page.set_viewport_size({"width": width, "height": 900})
    for path in sorted((ROOT / "pages").glob("[0-9]*.py")):
        title = path.stem.partition("_")[2]
        open_at(page, f"{address}/{'' if title == 'Frontier' else title}", title)
        stays_within(page, title)
