"""What an author does: open the download, choose a size, look, and take everything home."""

import io
import json
import zipfile
from typing import Any

from db import session
from tests.in_browser import IDLE, NEEDS_BROWSER, downloaded, expect, open_at, open_downloads
from tests.seed_database import seed_study
from tests.test_browser import SMALL

pytestmark = NEEDS_BROWSER


def test_a_figure_of_one_column_with_all_that_belongs_to_it(serve: Any, page: Any) -> None:
    address = serve()
    seed_study(session.require_database(), overrides=SMALL)
    open_at(page, f"{address}/?figure=slides", "Frontier")
    expect(page.locator("svg.marks").first).to_be_visible()
    body = open_downloads(page)
    expect(body.get_by_text("13.33 × 7.50 in")).to_be_visible()
    body.get_by_role("combobox").click()
    page.get_by_role("option", name="One column").click()
    expect(body.get_by_text("3.25 ×").last).to_be_visible()
    expect(body.locator("img")).to_be_visible()
    page.wait_for_selector(IDLE)
    assert "figure=one-column" in page.url
    held = zipfile.ZipFile(io.BytesIO(downloaded(page, "All (.zip)")))
    manifest = json.loads(held.read("manifest.json"))
    assert manifest["preset"] == "one column" and manifest["inches"][0] == 3.25
    assert b"non-dominated" in held.read("caption.txt")
    assert b"MaxEnt" in held.read("data.csv") and rb"\toprule" in held.read("table.tex")
    assert b"lee2025distillation" in held.read("references.bib")
    page.reload()
    expect(open_downloads(page).get_by_text("3.25 ×").last).to_be_visible()
