"""A real Chromium and a fresh server for a test: fixtures, and how to wait for a page."""

import contextlib
import os
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

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ROOT = Path(__file__).resolve().parents[1]
IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"]'
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
MILLISECONDS = 240_000

NEEDS_BROWSER = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on the PATH"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One headless Chromium for a module's tests."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of its own, with nothing remembered."""
    context = browser.new_context(
        viewport={"width": 1400, "height": 1000}, reduced_motion="reduce", accept_downloads=True
    )
    context.set_default_timeout(MILLISECONDS)
    expecting().set_options(timeout=MILLISECONDS)
    yield context.new_page()
    context.close()


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Start a fresh server on the test's own data directory; its address."""
    monkeypatch.setenv("LETHE_HOME", str(tmp_path))
    monkeypatch.delenv("LETHE_DATABASE_URL", raising=False)
    servers: list[subprocess.Popen[bytes]] = []

    def start(script: str = "app.py", *more: str, port: int | None = None) -> str:
        port = port or free_port()
        command = [
            sys.executable,
            "-m",
            "streamlit",
            "run",
            script,
            "--server.port",
            str(port),
            "--server.websocketPingInterval=600",
            *more,
        ]
        with open(tmp_path / "server.log", "ab") as log:
            servers.append(
                subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=dict(os.environ))
            )
        address = f"http://127.0.0.1:{port}"
        wait_for(
            lambda: servers[-1].poll() is not None or answers(f"{address}/_stcore/health"), 300
        )
        assert servers[-1].poll() is None, (tmp_path / "server.log").read_text()[-2000:]
        return address

    yield start
    for server in servers:
        server.terminate()
        try:
            server.wait(300)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def expecting() -> Any:
    """Playwright's `expect`."""
    from playwright.sync_api import expect  # noqa: PLC0415 - an optional package

    return expect


def too_late() -> type[Exception]:
    """Playwright's error for what did not come in time."""
    from playwright.sync_api import TimeoutError as TooLate  # noqa: PLC0415 - an optional package

    return TooLate


def expect(what: Any) -> Any:
    """An assertion that waits until it holds."""
    return expecting()(what)


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
    """Open an address and wait until its page stands."""
    page.goto(address)
    expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()
    page.wait_for_selector(IDLE)


def stays_within(page: Any, what: str) -> None:
    """Nothing of the page lies beside it, once it has come to rest."""
    page.wait_for_timeout(500)
    beyond = "m => m.scrollWidth - m.clientWidth"
    main = page.get_by_test_id("stMain")
    with contextlib.suppress(AssertionError):
        wait_for(lambda: main.evaluate(beyond) <= 0, 120)
    assert main.evaluate(beyond) <= 0, what


def pick(page: Any, name: str, shift: bool = False) -> None:
    """Click a point of the frontier; one that was just being redrawn is clicked again, as a person would."""
    why = page.get_by_role("heading", name=name, exact=True)
    for attempt in range(3):
        page.wait_for_selector(IDLE)
        if attempt and why.is_visible():  # it was heard late; another click would take it back
            return
        point = page.locator(f"path[aria-roledescription='point'][aria-label='{name}']").first
        point.dispatch_event("click", {"shiftKey": shift})
        with contextlib.suppress(AssertionError):
            expecting()(why).to_be_visible(timeout=60_000)
            return
    expect(why).to_be_visible()


def open_downloads(page: Any) -> Any:
    """Open the first chart's downloads; the panel that holds them."""
    popovers = page.get_by_test_id("stPopover").filter(has_text="Download")
    popovers.first.get_by_role("button").first.click()
    panel = page.get_by_test_id("stPopoverBody")
    expect(panel.get_by_role("button", name="All (.zip)")).to_be_visible()
    expect(panel.locator("img").first).to_be_visible()  # comes with the rerun that opening began
    page.wait_for_selector(IDLE)
    return panel


def downloaded(page: Any, label: str) -> bytes:
    """What a button hands over; one that a rerun of the page cancelled is clicked again, as a person would."""
    for _ in range(3):
        with contextlib.suppress(too_late()):
            with page.expect_download() as waited:
                page.get_by_role("button", name=label, exact=True).click()
            if waited.value.failure() is None:
                return Path(waited.value.path()).read_bytes()
        page.wait_for_selector(IDLE)
    raise AssertionError(f"{label} hands nothing over")
