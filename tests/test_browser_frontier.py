"""The frontier in a real Chromium: click, drag, and a choice that follows to the other pages."""

import contextlib
from typing import Any
from urllib.parse import parse_qs, urlparse

from db import session
from tests.in_browser import IDLE, NEEDS_BROWSER, expect, open_at, too_late
from tests.seed_database import seed_study

SMALL = (
    'recipes=[{suppress="grad_diff"}, {suppress="max_ent"}, {suppress="max_ent", robustify={name="undo", alpha=[0.2, 0.8]}}]',
    "attacks.0.learning_rate=[1e-3, 3e-3]",
    "seeds=[0, 1]",
)

pytestmark = NEEDS_BROWSER


def picked(url: str) -> list[str]:
    return parse_qs(urlparse(url).query).get("pick", [])


def chosen(page: Any) -> list[str]:
    return picked(page.url)


def chart(page: Any, position: int) -> Any:
    """The n-th chart, drawn and at rest."""
    found = page.get_by_test_id("stVegaLiteChart").nth(position)
    found.scroll_into_view_if_needed()
    expect(found.locator("path[aria-label='MaxEnt']").first).to_be_visible()
    page.wait_for_selector(IDLE)
    return found


def at_rest(page: Any, mark: Any) -> tuple[float, float]:
    """The middle of a mark, once what is above it has stopped to push it about."""
    seen: list[Any] = []
    while len(seen) < 4 or seen[-1] != seen[-4] or seen[-1] is None:
        assert len(seen) < 100, f"it moves for ever: {seen[-4:]}"
        seen.append(mark.bounding_box())
        page.wait_for_timeout(400)
    box = seen[-1]
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def choose(page: Any, position: int, name: str) -> None:
    """Drag around a point until it is chosen; a drag that met a redrawn chart is done again, as a person would."""
    for k in range(3):
        drag_around(page, chart(page, position), name, 14 + 6 * k)  # a frame's corner would move it
        with contextlib.suppress(too_late()):
            page.wait_for_url(lambda url: name in picked(url), timeout=60_000)
            page.wait_for_selector(IDLE)
            return


def drag_around(page: Any, found: Any, name: str, beside: int) -> None:
    """Draw a frame around a point, from the upper left to the lower right."""
    mark = found.locator(f"path[aria-roledescription='point'][aria-label='{name}']").first
    x, y = at_rest(page, mark)
    page.mouse.move(x - beside, y - beside)
    page.mouse.down()
    page.mouse.move(x, y, steps=4)
    page.mouse.move(x + beside, y + beside, steps=4)
    page.mouse.up()


def test_a_drag_chooses_and_the_choice_follows(serve: Any, page: Any) -> None:
    address = serve()
    seed_study(session.require_database(), overrides=SMALL)
    open_at(page, f"{address}/?study=quick", "Frontier")
    choose(page, 0, "MaxEnt → UNDO (α 0.2)")
    expect(page.get_by_text("1 chosen")).to_be_visible()
    assert chosen(page) == ["MaxEnt → UNDO (α 0.2)"]
    choose(page, 1, "MaxEnt → UNDO (α 0.8)")
    expect(page.get_by_role("heading", name="MaxEnt → UNDO (α 0.8)")).to_be_visible()
    assert "MaxEnt → UNDO (α 0.8)" in chosen(page)
    before = chosen(page)
    page.get_by_role("link", name="Robustness with these").click()
    expect(page.get_by_role("heading", name="Robustness", level=1)).to_be_visible()
    expect(page.get_by_text(f"Only the {len(before)} chosen")).to_be_visible()
    page.get_by_test_id("stSidebarNavLink").filter(has_text="Frontier").click()
    expect(page.get_by_role("heading", name="MaxEnt → UNDO (α 0.8)")).to_be_visible()
    page.wait_for_selector(IDLE)
    assert chosen(page) == before
    page.reload()
    expect(page.get_by_role("heading", name="MaxEnt → UNDO (α 0.8)")).to_be_visible()


def test_limits_and_bands_stand_in_the_address(serve: Any, page: Any) -> None:
    address = serve()
    seed_study(session.require_database(), overrides=SMALL)
    open_at(page, f"{address}/?study=quick&least=0.9&most=0.2&bands=true", "Frontier")
    expect(page.get_by_text("keep utility at least 0.9 and compute at most 0.2")).to_be_visible()
    drawn = page.get_by_test_id("stVegaLiteChart").first
    expect(drawn.locator("path[aria-roledescription='area mark']").first).to_be_attached()
    page.get_by_text("Bands", exact=True).click()
    page.wait_for_url(lambda url: "bands" not in url)
    page.wait_for_selector(IDLE)
    assert "bands" not in page.url and "least=0.9" in page.url
