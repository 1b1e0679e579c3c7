"""Files: whole, self-contained, and of the very data that the charts show."""

import hashlib
import io
import json
import struct
from pathlib import Path
from typing import Any

import pandas as pd
import pypdf
import pytest

from backend import exports
from backend.charts.frontier import frontier_chart
from backend.charts.presets import DEFAULT, PRESETS
from backend.charts.theme import FONT
from backend.frontier import frame
from backend.spreadsheets import csv
from backend.stage import UserError
from tests.frames import Frames, small


@pytest.fixture(scope="module")
def study() -> Frames:
    return small((0, 1))


@pytest.fixture(scope="module")
def document(study: Frames) -> dict[str, Any]:
    return study.build()


@pytest.fixture(scope="module")
def chart(document: dict[str, Any]) -> Any:
    return frontier_chart(frame(document))


@pytest.fixture(scope="module")
def bundled(
    study: Frames, document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    target = tmp_path_factory.mktemp("export") / "made up"
    exports.bundle(document, study.curves(), target)
    return target


def test_a_bitmap_has_300_dots_an_inch(chart: Any) -> None:
    content = exports.png(chart)
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    place = content.index(b"pHYs") + 4
    dots, _, unit = struct.unpack(">IIB", content[place : place + 9])
    assert (dots, unit) == (11811, 1)  # a metre: 300 an inch
    wide, high = PRESETS[DEFAULT].inches
    assert width == pytest.approx(300 * wide, abs=1)
    assert height == pytest.approx(300 * high, abs=1)


def test_a_pdf_is_one_page_with_its_font_inside(chart: Any) -> None:
    reader = pypdf.PdfReader(io.BytesIO(exports.pdf(chart)))
    assert len(reader.pages) == 1
    fonts: Any = reader.pages[0]["/Resources"]["/Font"]  # type: ignore[index]
    names = set()
    for font in fonts.values():
        inner = font.get_object()["/DescendantFonts"][0].get_object()
        descriptor = inner["/FontDescriptor"].get_object()
        assert "/FontFile2" in descriptor or "/FontFile3" in descriptor
        names.add(str(inner["/BaseFont"]).split("+")[-1].split("-")[0])
    assert FONT.partition(",")[0].replace(" ", "") in names
    assert "MaxEnt" in reader.pages[0].extract_text()


def test_a_page_of_its_own_needs_no_network(chart: Any) -> None:
    text = exports.html(chart).decode()
    assert "<script src" not in text
    assert "vega-lite" in text
    assert "MaxEnt" in text


def test_the_specification_and_the_picture_are_of_the_same_data(
    chart: Any, document: dict[str, Any]
) -> None:
    specification = json.loads(exports.vega(chart))
    held = [row for rows in specification["datasets"].values() for row in rows]
    known = {row["configuration"]: row for row in held if "configuration" in row}
    for row in frame(document).to_dict("records"):
        assert known[row["configuration"]]["utility"] == pytest.approx(row["utility"])
    assert b"<text" in exports.svg(chart)


def test_a_chart_for_a_dark_page_is_printed_on_white(document: dict[str, Any]) -> None:
    text = exports.vega(frontier_chart(frame(document), theme="dark")).decode()
    assert text == exports.vega(frontier_chart(frame(document))).decode()


def test_the_csv_is_the_frame(document: dict[str, Any]) -> None:
    rows = frame(document)
    back = pd.read_csv(io.BytesIO(csv(rows)))
    assert list(back.columns) == list(rows.columns)
    for name in ("utility", "robust_forget_quality", "compute_low"):
        pd.testing.assert_series_equal(back[name], rows[name].astype(float))


def test_a_bundle_holds_all_kinds_and_the_checksum_of_every_file(
    bundled: Path, document: dict[str, Any]
) -> None:
    manifest = json.loads((bundled / "manifest.json").read_text())
    files = {str(p.relative_to(bundled)) for p in bundled.rglob("*") if p.is_file()}
    assert files == {*manifest["files"], "manifest.json"}
    for name, checksum in manifest["files"].items():
        assert hashlib.sha256((bundled / name).read_bytes()).hexdigest() == checksum
    for name in ("frontier", "compute", "dumbbell", "relearning", "grid"):
        for ending in ("png", "svg", "pdf", "html", "vl.json"):
            assert f"plots/{name}.{ending}" in files
    tables = {"tables/frontier.tex", "tables/frontier.md", "references.bib", "caption.txt"}
    assert tables | {"data/frontier.json", "data/frontier.csv", "data/relearning.csv"} <= files
    assert json.loads((bundled / "data/frontier.json").read_text()) == document
    assert manifest["study"] == "test data"
    assert manifest["budget"] == 150
    assert "altair" in manifest["packages"]
    assert manifest["preset"] == DEFAULT
    assert "@misc{lee2025distillation," in (bundled / "references.bib").read_text()
    told = (bundled / "caption.txt").read_text()
    assert "Mean over 2 seeds" in told and "worst case over 3 attack cells, 150 steps" in told


def test_a_bundle_can_be_written_again_and_leaves_other_peoples_files(
    bundled: Path, study: Frames, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (bundled / "notes.txt").write_text("mine")
    monkeypatch.setattr(exports, "WRITERS", {"vl.json": exports.vega})
    exports.bundle({**document, "revision": 2}, study.curves(), bundled)
    assert (bundled / "notes.txt").read_text() == "mine"
    assert json.loads((bundled / "manifest.json").read_text())["revision"] == 2
    assert not (bundled / "plots/frontier.png").exists()
    assert [p.name for p in bundled.parent.iterdir()] == [bundled.name]


def test_a_bundle_overwrites_nobody_elses_file(
    tmp_path: Path, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "WRITERS", {"vl.json": exports.vega})
    (tmp_path / "caption.txt").write_text("mine")
    with pytest.raises(UserError, match="is not of an earlier export"):
        exports.bundle(document, pd.DataFrame(), tmp_path)
    with pytest.raises(UserError, match="is a file"):
        exports.bundle(document, pd.DataFrame(), tmp_path / "caption.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["caption.txt"]


def test_a_failure_leaves_nothing_behind(
    tmp_path: Path, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(chart: Any, preset: str) -> bytes:
        raise RuntimeError("no font")

    monkeypatch.setattr(exports, "WRITERS", {"png": broken})
    with pytest.raises(RuntimeError):
        exports.bundle(document, pd.DataFrame(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_study_that_was_not_run_has_a_bundle_too(tmp_path: Path, study: Frames) -> None:
    document = {**study.build(), "rows": []}
    files = exports.bundle(document, pd.DataFrame(), tmp_path / "out")
    assert {path.name for path in files} >= {"frontier.json", "frontier.csv", "manifest.json"}


def test_a_bundle_has_the_size_that_was_asked_for(
    tmp_path: Path, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "WRITERS", {"pdf": exports.pdf})
    exports.bundle(document, pd.DataFrame(), tmp_path / "out", "one-column", "MaxEnt")
    box = pypdf.PdfReader(tmp_path / "out/plots/frontier.pdf").pages[0].mediabox
    assert float(box.width) == pytest.approx(PRESETS["one column"].width, abs=0.5)
    assert "better than MaxEnt" in (tmp_path / "out/tables/frontier.md").read_text()
    with pytest.raises(UserError, match="preset = 'huge' is not one of one column, two columns"):
        exports.bundle(document, pd.DataFrame(), tmp_path / "other", "huge")
    with pytest.raises(UserError, match="reference = 'nobody' is not one of GradDiff, MaxEnt"):
        exports.bundle(document, pd.DataFrame(), tmp_path / "other", DEFAULT, "nobody")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
