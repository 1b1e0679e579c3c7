"""A person's way through the dashboard in a real Chromium: launch, work, look, download."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from db import reads, session, writes
from tests.seed_database import seed_study

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ROOT = Path(__file__).resolve().parents[1]
IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"]'
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SMALL = (
    'recipes=[{suppress="max_ent"}, {suppress="max_ent", robustify={name="undo", alpha=[0.2, 0.8]}}]',
    "attacks.0.learning_rate=[1e-3, 3e-3]",
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on the PATH"),
]
expect = playwright.expect


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(
        viewport={"width": 1400, "height": 1000}, reduced_motion="reduce", accept_downloads=True
    )
    context.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """Start a fresh server on the test's own data directory; its address."""
    monkeypatch.setenv("LETHE_HOME", str(tmp_path))
    monkeypatch.delenv("LETHE_DATABASE_URL", raising=False)
    servers: list[subprocess.Popen[bytes]] = []

    def start() -> str:
        port = free_port()
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
        with open(tmp_path / "server.log", "ab") as log:
            servers.append(
                subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=dict(os.environ))
            )
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(f"{address}/_stcore/health"), 60)
        return address

    yield start
    for server in servers:
        server.terminate()
        server.wait(20)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_for(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.3)


def fill(page: Any, label: str, value: str) -> None:
    """Write into the first field of that name and wait until the page has taken it."""
    field = page.get_by_role("textbox", name=label, exact=True).first
    field.fill(value)
    field.press("Enter")
    page.wait_for_timeout(400)
    page.wait_for_selector(IDLE)


def open_at(page: Any, address: str, title: str) -> None:
    page.goto(address)
    expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()
    page.wait_for_selector(IDLE)


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
        wait_for(lambda: reads.counts(engine)["complete"] == 12, 400)
        expect(page.get_by_text("Nothing is running.")).to_be_visible()
        look_at_the_point(page, address)
    finally:
        stop_workers(engine)


def stop_workers(engine: Any) -> None:
    for worker in reads.workers(engine)["id"]:
        writes.request_stop(engine, worker)
    wait_for(lambda: reads.workers(engine).empty, 60)


def look_at_the_point(page: Any, address: str) -> None:
    """Click the point, read why it is there, and follow it to its run and back."""
    open_at(page, f"{address}/?study=tiny", "Frontier")
    page.locator("path[aria-roledescription='point'][aria-label='MaxEnt']").dispatch_event("click")
    expect(page.get_by_text("recovery = (after").first).to_be_visible()
    assert "pick=MaxEnt" in page.url
    page.reload()
    expect(page.get_by_text("recovery = (after").first).to_be_visible()
    page.get_by_role("link", name=re.compile(r"^run \d+$")).first.click()
    expect(page.get_by_role("heading", name="suppress max_ent, seed 0")).to_be_visible()
    expect(page.get_by_text("complete").first).to_be_visible()
    page.go_back()
    expect(page.get_by_text("recovery = (after").first).to_be_visible()


def downloaded(page: Any, label: str) -> bytes:
    """What a button hands over; one that a rerun of the page cancelled is clicked again, as a person would."""
    for _ in range(3):
        with page.expect_download() as waited:
            page.get_by_role("button", name=label, exact=True).click()
        if waited.value.failure() is None:
            break
    return Path(waited.value.path()).read_bytes()


def test_downloads_are_what_their_names_say(serve: Any, page: Any, tmp_path: Path) -> None:
    address = serve()
    seed_study(session.require_database(), overrides=SMALL)
    open_at(page, f"{address}/", "Frontier")
    expect(page.locator("svg.marks").first).to_be_visible()
    found = {}
    for label in ("PNG", "SVG", "PDF", "HTML", "Vega-Lite", "CSV", "LaTeX"):
        found[label] = downloaded(page, label)
    assert found["PNG"].startswith(b"\x89PNG")
    assert found["PDF"].startswith(b"%PDF") and b"FontFile2" in found["PDF"]
    assert b"<svg" in found["SVG"] and b"<text" in found["SVG"]
    assert b"http" not in found["HTML"].split(b"</head>")[0] or b"<script src" not in found["HTML"]
    assert json.loads(found["Vega-Lite"])["$schema"].startswith("https://vega.github.io")
    assert found["CSV"].startswith(b"configuration,") and b"MaxEnt" in found["CSV"]
    assert rb"\toprule" in found["LaTeX"]


def test_the_view_is_in_the_address(serve: Any, page: Any) -> None:
    address = serve()
    seed_study(session.require_database(), overrides=SMALL)
    open_at(page, f"{address}/?x=Compute&size=Utility&pick=MaxEnt", "Frontier")
    expect(page.get_by_role("heading", name="MaxEnt", exact=True)).to_be_visible()
    assert "x=Compute" in page.url
    page.reload()
    expect(page.get_by_text("Compute (↓", exact=False).first).to_be_visible()
    page.get_by_role("button", name="Clear selection").click()
    expect(page.get_by_role("heading", name="MaxEnt", exact=True)).to_have_count(0)
    assert "pick" not in page.url and "x=Compute" in page.url


@pytest.mark.parametrize("width", [320, 700])
def test_no_page_scrolls_sideways(serve: Any, page: Any, width: int) -> None:
    address = serve()
    seed_study(session.require_database(), overrides=SMALL, fail=("undo",))
    page.set_viewport_size({"width": width, "height": 900})
    for path, title in (("", "Frontier"), *((name, name) for name in ("Robustness", "Runs", "Launch", "Jobs"))):  # fmt: skip
        open_at(page, f"{address}/{path}", title)
        page.wait_for_timeout(500)
        beyond = "m => m.scrollWidth - m.clientWidth"
        assert page.locator('[data-testid="stMain"]').evaluate(beyond) <= 0, title
