"""Everything that an author needs of one chart in one file: pictures, exact data, words, references, checksums."""

import io
import json
import zipfile
from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from backend import bibliography, exports, table_text
from backend.charts.presets import preset_of
from backend.spreadsheets import csv

WHEN = (1980, 1, 1, 0, 0, 0)  # of every file in the archive: the same content gives the same bytes
NAMING = ("configuration", "series", "name", "label", "attack", "worst_attack")


def archive(
    chart: Any,
    frame: pd.DataFrame,
    name: str,
    *,
    caption: str = "",
    preset: str,
    greys: bool = False,
    document: Mapping[str, Any] | None = None,
    parts: Collection[str] = (),
) -> bytes:
    """A zip file of the chart at a preset's size.

    It holds PDF, SVG, PNG and Vega-Lite, the frame as CSV and JSON, the caption, BibTeX of the parts in the picture and
    of `parts`, with a document its table, and a manifest with versions and the SHA-256 of every other file.
    """
    files = {
        f"{name}.pdf": exports.pdf(chart, preset, greys),
        f"{name}.svg": exports.svg(chart, preset, greys),
        f"{name}.png": exports.png(chart, preset, greys),
        f"{name}.vl.json": exports.vega(chart, preset, greys),
        "data.csv": csv(frame),
        "data.json": exports.records(frame),
        "caption.txt": f"{caption or name}\n".encode(),
        "references.bib": exports.bibtex([*shown_parts(frame), *parts]),
    }
    if document is not None:
        table = exports.table_of(frame, document)
        files["table.tex"] = table_text.latex(table).encode()
        files["table.md"] = table_text.markdown(table).encode()
    files[exports.MANIFEST] = _manifest(chart, files, preset, greys)
    return zipped(files)


def shown_parts(frame: pd.DataFrame) -> list[str]:
    """The names of the parts that a frame's rows name."""
    columns = [column for column in NAMING if column in frame]
    texts = dict.fromkeys(text for column in columns for text in frame[column].dropna())
    return bibliography.mentioned(str(text) for text in texts)


def _manifest(chart: Any, files: Mapping[str, bytes], preset: str, greys: bool) -> bytes:
    drawn = exports.figure(chart, preset, greys)
    told = {
        "preset": preset_of(preset).name,
        "inches": [round(drawn.width / 72, 3), round(drawn.height / 72, 3)],
        "greys": greys,
        **exports.versions(),
        "files": exports.checksums(files),
    }
    return json.dumps(told, indent=1, ensure_ascii=False).encode()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Files by name as one archive; the same files give the same bytes."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            told = zipfile.ZipInfo(name, WHEN)
            told.compress_type, told.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            made.writestr(told, content)
    return held.getvalue()
