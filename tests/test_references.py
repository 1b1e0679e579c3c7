"""Papers behind the parts, and the archive that carries them with a picture."""

import hashlib
import io
import json
import re
import zipfile
from typing import Any

import pandas as pd
import pytest

from backend import bibliography, catalogue, exports
from backend.charts.frontier import frontier_chart
from backend.figure_archive import archive
from backend.frontier import frame
from backend.registry import KINDS
from tests.frames import small

PARTS = [part for kind in KINDS for part in catalogue.parts(kind)]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.kind}-{part.name}")
def test_every_part_has_its_papers_or_is_known_to_follow_none(part: Any) -> None:
    keys = bibliography.keys_of(part.source)
    numbers = set(bibliography.ARXIV.findall(part.source))
    text = " ".join(bibliography.entries()[key] for key in keys)
    assert all(f"eprint = {{{number}}}" in text for number in numbers)
    assert bool(keys) != (part.name in bibliography.NOT_CITABLE)


def test_entries_are_whole_and_no_older_than_their_number() -> None:
    entries = bibliography.entries()
    assert len(entries) == len(re.findall(r"^@", bibliography.FILE.read_text(), re.MULTILINE))
    for key, text in entries.items():
        fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", text, re.MULTILINE))
        assert fields["author"] and fields["title"], key
        assert text.count("{") == text.count("}"), key
        assert key.isascii() and key.isalnum(), key
        if "eprint" in fields:
            assert fields["year"] == f"20{fields['eprint'][:2]}", key
        assert fields["year"] in key


def test_no_entry_is_without_a_use() -> None:
    used = {key for part in PARTS for key in bibliography.keys_of(part.source)}
    assert used == set(bibliography.entries())


def test_configurations_name_their_parts() -> None:
    told = ["MaxEnt (batch_size 16) → UNDO (α 0.5)", "MaxEnt + SAM (ρ 0.1) (lr 1)", "Somebody's own"]  # fmt: skip
    assert bibliography.mentioned(told) == ["MaxEnt", "UNDO", "SAM"]
    text = bibliography.bibtex(["UNDO", "MaxEnt", "SAM"])
    assert text.count("@misc{lee2025distillation,") == 1
    assert "% UNDO, MaxEnt" in text and "foret2020sharpness" in text
    assert b"% None of the parts" in exports.bibtex(["Somebody's own"])


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return small((0, 1)).build()


@pytest.fixture(scope="module")
def held(document: dict[str, Any]) -> zipfile.ZipFile:
    rows = frame(document)
    made = archive(
        frontier_chart(rows), rows, "made up", caption="True words.", preset="one column", document=document,
        parts=["relearn"],
    )  # fmt: skip
    return zipfile.ZipFile(io.BytesIO(made))


def test_an_archive_holds_pictures_data_words_and_checksums(held: zipfile.ZipFile) -> None:
    manifest = json.loads(held.read("manifest.json"))
    assert set(held.namelist()) == {*manifest["files"], "manifest.json"}
    for name, checksum in manifest["files"].items():
        assert hashlib.sha256(held.read(name)).hexdigest() == checksum
    assert {"made up.pdf", "made up.svg", "made up.png", "made up.vl.json", "table.tex"} <= set(held.namelist())  # fmt: skip
    assert held.read("made up.pdf").startswith(b"%PDF")
    assert held.read("caption.txt") == b"True words.\n"
    assert manifest["preset"] == "one column" and manifest["inches"][0] == 3.25
    assert {"altair", "vl-convert-python", "statsmodels"} <= set(manifest["packages"])
    references = held.read("references.bib").decode()
    assert "@misc{lee2025distillation," in references and "@misc{liu2022continual," in references


def test_the_archives_data_are_the_charts(held: zipfile.ZipFile, document: dict[str, Any]) -> None:
    rows = frame(document)
    read = pd.DataFrame(json.loads(held.read("data.json")))
    assert list(read["configuration"]) == list(rows["configuration"])
    table = pd.read_csv(io.BytesIO(held.read("data.csv")))
    drawn = {
        row["configuration"]: row
        for found in json.loads(held.read("made up.vl.json"))["datasets"].values()
        for row in found
        if "configuration" in row
    }
    for k, name in enumerate(rows["configuration"]):
        for field in ("utility", "compute", "robust_forget_quality_low"):
            value = rows[field].iloc[k]
            if value is None or pd.isna(value):
                assert pd.isna(read[field].iloc[k]) and pd.isna(table[field].iloc[k])
                continue
            assert read[field].iloc[k] == pytest.approx(value, rel=1e-12)
            assert table[field].iloc[k] == pytest.approx(value, rel=1e-12)
            assert drawn[name][field] == pytest.approx(value, rel=1e-12)


def test_an_archive_is_the_same_twice(document: dict[str, Any]) -> None:
    rows = frame(document)

    def vector() -> bytes:
        found = archive(frontier_chart(rows), rows, "x", preset="one column")
        return zipfile.ZipFile(io.BytesIO(found)).read("x.svg")

    assert vector() == vector()
