"""Others' results in a real Chromium: upload them, look at them, take them away."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from backend.__main__ import main
from db import session
from tests import result_files as files
from tests.in_browser import IDLE, NEEDS_BROWSER, downloaded, expect, open_at, stays_within

pytestmark = NEEDS_BROWSER


def test_from_an_upload_to_the_frontiers_rows(
    serve: Any, page: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = serve()
    open_at(page, f"{address}/Data", "Data")
    upload = files.write(tmp_path / "method_results.json", files.uds())
    page.locator("input[type=file]").first.set_input_files(str(upload))
    kind = page.get_by_role("combobox", name="What are they?")
    expect(kind).to_have_value("what the files look like: UDS results")
    page.get_by_role("button", name="Import 5 models").click()
    expect(page.get_by_text("5 new models, not run here", exact=False)).to_be_visible()
    assert main(["frontier", "uds-method_results", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["method"] for row in rows] == ["base", "oracle", "npo", "npo", "npo"]
    assert {row["origin"] for row in rows} == {"imported"}
    assert [row["metrics"]["uds"]["mean"] for row in rows[2:]] == pytest.approx([0.1, 0.2, 0.3])
    assert all(row["utility"]["mean"] is None for row in rows)
    page.get_by_role("radio", name="Export").click()
    expect(page.get_by_role("heading", name="One study")).to_be_visible()
    page.wait_for_selector(IDLE)
    bundle = zipfile.ZipFile(io.BytesIO(downloaded(page, "Bundle (zip)")))
    assert {"data/frontier.csv", "data/study.json", "manifest.json"} <= set(bundle.namelist())
    tables = zipfile.ZipFile(io.BytesIO(downloaded(page, "All tables (zip)")))
    assert len(tables.read("run.csv").splitlines()) == 6


@pytest.mark.parametrize("part", ["Import", "Export", "Storage"])
def test_no_part_scrolls_sideways_on_a_phone(serve: Any, page: Any, tmp_path: Path, part: str) -> None:  # fmt: skip
    address = serve()
    session.require_database()
    upload = files.write(tmp_path / "results.json", files.uds())
    assert main(["import", str(upload)]) == 0
    page.set_viewport_size({"width": 420, "height": 900})
    open_at(page, f"{address}/Data?part={part}", "Data")
    stays_within(page, part)
