"""Everything as files: whole, with checksums that hold, and harmless in a spreadsheet."""

import csv
import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest

from backend.everything import study_bundle, study_json, write_database
from backend.given_files import from_path
from backend.importing import prepared, store
from db import reads
from db.session import require_database
from tests import result_files as files
from tests.seed_database import seed_study

pytestmark = pytest.mark.both_databases

SMALL = ('recipes=[{suppress="max_ent"}]', "attacks.0.learning_rate=[1e-3]")


@pytest.fixture
def both(tmp_path: Path) -> None:
    """A study that was run, and an imported one whose names a spreadsheet would run."""
    seed_study(require_database(), SMALL)
    path = files.write(tmp_path / "mine.csv", files.TABLE)
    store(require_database(), prepared([from_path(path)], None, name="=theirs"))


@pytest.mark.parametrize("name", ["quick", "=theirs"])
def test_a_bundle_holds_what_its_manifest_says(both: None, name: str) -> None:
    archive = zipfile.ZipFile(io.BytesIO(study_bundle(require_database(), name)))
    manifest = json.loads(archive.read("manifest.json"))
    assert set(archive.namelist()) == {*manifest["files"], "manifest.json"}
    for path, digest in manifest["files"].items():
        assert hashlib.sha256(archive.read(path)).hexdigest() == digest, path
    assert manifest["study"] == name
    table = list(csv.DictReader(io.StringIO(archive.read("data/frontier.csv").decode())))
    if name == "=theirs":
        assert {"'=cmd()", "NPO (lr 1e-05)"} < {row["configuration"] for row in table}
        assert {row["origin"] for row in table} == {"imported"}
    else:
        assert "plots/frontier.pdf" in archive.namelist()


def test_a_study_as_json_has_every_run_and_number(both: None) -> None:
    engine = require_database()
    told = json.loads(study_json(engine, "=theirs"))
    assert told["origin"] == "imported" and told["document"]["imported"]["kind"] == "csv"
    assert len(told["runs"]) == 5 and len(told["measurements"]) == 9
    assert all(one["value"] is not None for one in told["measurements"])
    assert len(json.loads(study_json(engine, "quick"))["runs"]) == reads.row_counts(engine)["run"] - 5  # fmt: skip


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_all_tables_with_all_rows(both: None, ending: str) -> None:
    engine = require_database()
    out = io.BytesIO()
    counts = write_database(engine, out, ending)
    every = reads.row_counts(engine)
    assert every["audit_entry"] and counts == {name: every[name] for name in every.keys() - {"api_token", "audit_entry"}}  # fmt: skip
    archive = zipfile.ZipFile(out)
    manifest = json.loads(archive.read("manifest.json"))
    assert manifest["rows"] == counts
    for name, count in counts.items():
        text = archive.read(f"{name}.{ending}").decode()
        found = list(csv.DictReader(io.StringIO(text))) if ending == "csv" else [json.loads(line) for line in text.splitlines()]  # fmt: skip
        assert len(found) == count
        assert hashlib.sha256(text.encode()).hexdigest() == manifest["files"][f"{name}.{ending}"]
        if name == "run":
            assert ("'=cmd()" if ending == "csv" else "=cmd()") in {row["name"] for row in found}
        if name == "item_values":
            assert all(len(json.loads(str(row["values"]))) == int(row["count"]) for row in found)
