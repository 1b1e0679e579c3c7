"""A review meeting in a real Chromium: begun, frozen, decided on, shown by keyboard, taken home as files."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

from db import reads, session
from tests.in_browser import (
    IDLE,
    MILLISECONDS,
    NEEDS_BROWSER,
    downloaded,
    expect,
    open_at,
    wait_for,
)
from tests.seed_database import seed_study
from tests.test_browser import SMALL

pytestmark = NEEDS_BROWSER


def settled(page: Any, text: str) -> None:
    """Wait until the page says something and stands."""
    expect(page.get_by_text(text, exact=False).first).to_be_visible()
    page.wait_for_selector(IDLE)


def test_a_review_from_its_template_to_the_meeting(serve: Any, page: Any, tmp_path: Path) -> None:
    address = serve()
    seed_study(session.require_database(), overrides=SMALL)
    open_at(page, f"{address}/Reports", "Reports")
    page.get_by_role("textbox", name="Your name").fill("Ada")
    page.get_by_role("button", name="Begin", exact=True).click()
    expect(page.get_by_role("heading", name="Review of quick", level=1)).to_be_visible()
    expect(page.locator("svg.marks").first).to_be_visible()
    gates(page)
    page.get_by_role("button", name="Freeze this report").click()
    settled(page, "Verified just now")
    expect(page.get_by_role("button", name="Edit", exact=True)).to_have_count(0)
    page.get_by_text("✗ Reject", exact=False).click()
    page.get_by_role("textbox", name="Reason").fill("What MaxEnt hides comes back.")
    page.get_by_role("button", name="Record the decision").click()
    settled(page, "Rejected")
    assert "report=1" in page.url
    page.reload()
    settled(page, "Rejected")
    trail = reads.report_events(session.require_database(), 1)
    assert trail["kind"].tolist() == ["created", "frozen", "reject"]
    assert set(trail["author"]) == {"Ada", ""} or set(trail["author"]) == {"Ada"}
    meeting(page)
    taken_home(page, tmp_path)


def gates(page: Any) -> None:
    """Red first, in words; the evidence a click away, with a way to the frontier and to the runs."""
    first = page.locator("tbody.group").first
    expect(first).to_contain_text("✗ fails")
    shown = page.locator("tbody.group td.name").all_inner_texts()
    states = [re.search(r"fails|unknown|holds", text).group() for text in shown]
    assert states == sorted(states, key=["fails", "unknown", "holds"].index) and "fails" in states
    first.get_by_text("Evidence of").click()
    expect(first.get_by_role("link", name=re.compile(r"^run \d+$")).first).to_be_visible()
    expect(first.get_by_role("columnheader", name="oracle after")).to_be_visible()
    expect(first.get_by_text("recovery = (after")).to_be_visible()
    assert "pick=" in str(first.get_by_role("link", name="on the frontier").get_attribute("href"))


def meeting(page: Any) -> None:
    """Large, without sidebar, turned by the keys, and at its place after a reload."""
    page.get_by_role("button", name="Present").click()
    settled(page, "Slide 1 of 7")
    expect(page.get_by_test_id("stSidebar")).not_to_be_visible()
    for slide in range(2, 8):
        page.keyboard.press("ArrowRight")
        settled(page, f"Slide {slide} of 7")
    expect(page.get_by_text("What MaxEnt hides comes back.")).to_be_visible()
    for slide in range(6, 2, -1):
        page.keyboard.press("ArrowLeft")
        settled(page, f"Slide {slide} of 7")
    assert "slide=3" in page.url
    page.reload()
    settled(page, "Slide 3 of 7")
    chart = page.locator("svg.marks").first
    expect(chart).to_be_visible()
    wait_for(lambda: (chart.bounding_box() or {"height": 0})["height"] > 500, 300)
    page.keyboard.press("Escape")
    settled(page, "Audit trail")
    expect(page.get_by_test_id("stSidebar")).to_be_visible()


def taken_home(page: Any, tmp_path: Path) -> None:
    """The files that the buttons hand over; the page opens without a network and asks for nothing."""
    assert downloaded(page, "PDF").startswith(b"%PDF")
    with zipfile.ZipFile(io.BytesIO(downloaded(page, "Markdown + LaTeX"))) as found:
        assert {"report.md", "report.tex", "manifest.json"} <= set(found.namelist())
    frozen = downloaded(page, "Frozen data")
    assert frozen.decode() == reads.report(session.require_database(), 1)["frozen"]
    saved = tmp_path / "report.html"
    saved.write_bytes(downloaded(page, "HTML"))
    context = page.context.browser.new_context(offline=True)
    context.set_default_timeout(MILLISECONDS)
    asked: list[str] = []
    alone = context.new_page()
    alone.on("request", lambda request: asked.append(request.url))
    said: list[str] = []
    alone.on("console", lambda message: said.append(message.text))
    alone.goto(saved.as_uri())
    expect(alone.get_by_role("img").first).to_be_visible()
    expect(alone.get_by_text("What MaxEnt hides comes back.").first).to_be_visible()
    assert asked == [saved.as_uri()] and said == []
    context.close()
