"""Everything as files to take away: a study's bundle, a study as JSON, and all tables of the database."""

import csv
import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import pandas as pd
from sqlalchemy import Engine

from backend.exports import MANIFEST, bundle, checksums
from backend.results import curves, frontier_document, known_study
from backend.spreadsheets import harmless
from db import reads
from db.session import revisions

FORMATS = ("csv", "jsonl")
# Whoever may look may take all away, but not what only admins see.
PRIVATE = ("api_token", "audit_entry")


def study_bundle(engine: Engine, name: str) -> bytes:
    """A study's whole bundle as a zip archive: data, plots, tables, its document and runs, a manifest with checksums."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "study"
        paths = bundle(frontier_document(engine, name), curves(engine, name), target)
        files = {path.relative_to(target).as_posix(): path.read_bytes() for path in paths}
    files["data/study.json"] = study_json(engine, name)
    manifest = json.loads(files.pop(MANIFEST))
    manifest["files"] = checksums(files)
    files[MANIFEST] = _json(manifest)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return out.getvalue()


def study_json(engine: Engine, name: str) -> bytes:
    """A study as one JSON document: its resolved document, its runs and every measurement of them."""
    record = known_study(engine, name)
    runs = reads.study_runs(engine, record.id)
    measured = reads.measurements(engine, study_id=record.id, category=None)
    told = {"study": record.name, "revision": record.revision, "origin": record.origin}
    told |= {"created_at": record.created_at, "document": record.document}
    return _json({**told, "runs": _records(runs), "measurements": _records(measured)})


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows with None for what is missing."""
    return list(frame.astype(object).where(frame.notna(), None).to_dict("records"))  # type: ignore[arg-type]


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False, default=str, allow_nan=False).encode()


def write_database(engine: Engine, out: IO[bytes], ending: str = "csv") -> dict[str, int]:
    """Write every table but the tokens and the log as a file of a zip archive, with a manifest; how many rows each has.

    `csv` neutralises what a spreadsheet would run; `jsonl` has one JSON object a row, exactly as stored.
    """
    write = {"csv": _csv_lines, "jsonl": _json_lines}[ending]
    counts, sums = {}, {}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in [name for name in reads.row_counts(engine) if name not in PRIVATE]:
            digest, count = hashlib.sha256(), -1 if ending == "csv" else 0
            with archive.open(f"{name}.{ending}", "w", force_zip64=True) as file:
                for line in write(engine, name):
                    file.write(line)
                    digest.update(line)
                    count += 1
            counts[name], sums[f"{name}.{ending}"] = count, digest.hexdigest()
        made = datetime.now(UTC).isoformat(timespec="seconds")
        manifest = {"made_at": made, "schema": revisions()[-1], "rows": counts, "files": sums}
        archive.writestr(MANIFEST, _json(manifest))
    return counts


def _csv_lines(engine: Engine, name: str) -> Iterator[bytes]:
    """The header, then a record a row."""
    yield _line(reads.columns_of(name))
    for row in reads.rows_of(engine, name):
        yield _line([_cell(value) for value in row])


def _line(cells: list[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value) if isinstance(value, int | float) else harmless(str(value))


def _json_lines(engine: Engine, name: str) -> Iterator[bytes]:
    columns = reads.columns_of(name)
    for row in reads.rows_of(engine, name):
        record = dict(zip(columns, row, strict=True))
        yield (json.dumps(record, ensure_ascii=False, default=str) + "\n").encode()
