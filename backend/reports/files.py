"""A report as files: one HTML page that needs nothing else, a PDF, and Markdown with LaTeX, figures and data in a zip."""

import base64
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd

from backend.canonical import canonical
from backend.reports import charts, latex, markdown, words
from backend.reports import html as fragments
from backend.reports import pdf as typeset
from backend.spreadsheets import csv
from db.reads import DECISIONS

Whole = Mapping[str, Any]

DAY_ONE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say; a moment would change the bytes
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
STYLE = """
body { font: 16px/1.5 system-ui, "Liberation Sans", Arial, sans-serif; color: #1b1b1b; background: #fff; max-width: 62rem; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 2rem; line-height: 1.2; margin-bottom: .3rem; } h2 { font-size: 1.35rem; margin: 2.2rem 0 .6rem; }
figure { margin: 0; } figure svg { width: 100%; height: auto; } .hash { font-family: monospace; overflow-wrap: anywhere; }
.rep .scroll { max-height: none; } @media print { body { max-width: none; margin: 0; } h2 { break-after: avoid; } figure, tr { break-inside: avoid; } }
"""


def document(told: Whole, sha256: str | None, events: pd.DataFrame) -> dict[str, Any]:
    """What every format of a report writes: the payload with its state in words, decisions and audit trail."""
    frozen = told["frozen_at"]
    by = f" by {told['frozen_by']}" if told["frozen_by"] else ""
    state = f"Frozen {words.moment(frozen)}{by}" if frozen else "Open: not frozen, what it shows can still change"  # fmt: skip
    trail = [{str(k): v for k, v in row.items()} for row in events.to_dict("records")]
    return {
        **told,
        "state": state,
        "sha256": sha256,
        "trail": trail,
        "decisions": [one for one in trail if one["kind"] in DECISIONS],
        "rests_on": rests_on(told),
    }


def rests_on(told: Whole) -> list[str]:
    """The studies, runs, part versions and software behind a report, a sentence each."""
    found = []
    for study in told["studies"]:
        grids = ", ".join(f"{a['name']} ({len(a['grid'])} cells, {a['steps']} steps)" for a in study.get("attacks") or [])  # fmt: skip
        setting = (study.get("setting") or {}).get("name", words.DASH)
        seeds = ", ".join(str(seed) for seed in study.get("seeds") or []) or words.DASH
        found.append(
            f"Study {study['name']}, revision {study['revision']}: setting {setting}; seeds {seeds}; attacks"
            f" {grids or 'none'}; {len(study['runs'])} runs."
        )
    if told["runs"]:
        found.append(f"Runs: {_ranges([int(run['id']) for run in told['runs']])}. Their fingerprints are in the data.")  # fmt: skip
    if told["parts"]:
        found.append("Versions of parts: " + ", ".join(f"{name} {', '.join(map(str, v))}" for name, v in told["parts"].items()) + ".")  # fmt: skip
    if told["software"]:
        packages = ", ".join(f"{n} {v}" for n, v in told["software"]["packages"].items() if v)
        found.append(f"Frozen with Python {told['software']['python']}, {packages}.")
    return found or ["The report is not frozen: nothing is pinned."]


def _ranges(numbers: list[int]) -> str:
    """Sorted numbers in words, neighbours as a range."""
    found: list[list[int]] = []
    for one in sorted(numbers):
        if found and one == found[-1][1] + 1:
            found[-1][1] = one
        else:
            found.append([one, one])
    return ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in found)


def html(whole: Whole) -> bytes:
    """One page with pictures, data and the frozen text in it; it opens without a network and runs no script."""
    sections = [_section(block, i) for i, block in enumerate(whole["blocks"])]
    title = escape(whole["title"])
    head = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{fragments.STYLE}{STYLE}</style></head>"
    )
    hashed = f'<p class="rep quiet">SHA-256 <span class="hash">{whole["sha256"]}</span></p>' if whole["sha256"] else ""  # fmt: skip
    body = f'<body><main><h1>{title}</h1><p class="rep quiet">{escape(whole["state"])}</p>{hashed}'
    return f"{head}{body}{''.join(sections)}{_decided(whole)}{_resting(whole)}</main></body></html>\n".encode()


def _section(block: Mapping[str, Any], position: int) -> str:
    content = block["content"]
    inside = fragments.block(block["kind"], content, live=False)
    if block["kind"] == "chart":
        inside = f"<figure>{_inline(content, position)}{inside}</figure>"
    return f"<section><h2>{escape(block['title'])}</h2>{inside}{_twin(content)}</section>"


def _inline(content: Mapping[str, Any], position: int) -> str:
    """The chart as SVG with names of its own: two pictures on a page must not share a clip."""
    drawn = charts.svg(content["spec"])
    drawn = re.sub(r'\bid="', f'id="c{position}-', drawn)
    drawn = re.sub(r"url\(#", f"url(#c{position}-", drawn)
    told = escape(str(content.get("caption") or "Chart"), quote=True)
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{told}" ', 1)


def _twin(content: Mapping[str, Any]) -> str:
    records = content.get("data") or []
    if not records:
        return ""
    columns = list(records[0])
    rows = [[record.get(name) for name in columns] for record in records[: fragments.MOST_ROWS]]
    return f'<div class="rep"><details><summary>The data behind it ({len(records)} rows)</summary><div class="scroll">{fragments.grid(columns, rows)}</div></details></div>'


def _decided(whole: Whole) -> str:
    told = "".join(
        f"<p>{fragments.chip(one['kind'], words.DECIDED_SIGNS[one['kind']] + ' ' + words.DECIDED[one['kind']])}"
        f" <strong>{escape(one['author'])}</strong>, {words.moment(one['created_at'])}</p><pre>{escape(one['text'])}</pre>"
        for one in whole["decisions"]
    )
    return f'<section><h2>Decision</h2><div class="rep">{told or "<p>Not decided.</p>"}</div></section>'


def _resting(whole: Whole) -> str:
    told = "".join(f"<p>{escape(one)}</p>" for one in whole["rests_on"])
    meanings = [[d["label"], d["summary"], d["direction"], d["limits"]] for d in whole["definitions"]]  # fmt: skip
    trail = [[words.moment(e["created_at"]), e["kind"], e["author"], e["text"]] for e in whole["trail"]]  # fmt: skip
    parts = [told]
    if meanings:
        parts.append("<h3>What the numbers mean</h3>" + fragments.grid(["Number", "What it is", "Direction", "What it does not tell"], meanings))  # fmt: skip
    parts.append("<h3>Audit trail</h3>" + fragments.grid(["When", "What", "Who", ""], trail))
    if whole["sha256"]:
        data = base64.b64encode(frozen_text(whole).encode()).decode()
        parts.append(f'<p><a download="frozen.json" href="data:application/json;base64,{data}">The frozen data</a>, whose bytes have the SHA-256 above.</p>')  # fmt: skip
    return f'<section><h2>What it rests on</h2><div class="rep">{"".join(parts)}</div></section>'


PINNED = ("format", "report", "title", "frozen_at", "frozen_by", "blocks", "studies", "runs", "environments", "parts", "definitions", "software")  # fmt: skip


def frozen_text(whole: Whole) -> str:
    """The frozen text again, from what was read of it: the same bytes, because it is canonical."""
    return canonical({key: whole[key] for key in PINNED})


def pdf(whole: Whole) -> bytes:
    """A PDF with real text and embedded fonts."""
    return typeset.pdf(whole)


def bundle(whole: Whole) -> bytes:
    """A zip: report.md, report.tex, figures as PDF, SVG and PNG, data as CSV and JSON, a manifest with every hash."""
    files, figures = _figures(whole)
    files["report.md"] = markdown.report(whole, figures).encode()
    files["report.tex"] = latex.report(whole, figures).encode()
    files |= _data(whole)
    if whole["sha256"]:
        files["data/frozen.json"] = frozen_text(whole).encode()
    manifest = {
        "title": whole["title"],
        "state": whole["state"],
        "sha256": whole["sha256"],
        "files": {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)},
    }
    files["manifest.json"] = json.dumps(manifest, indent=1, sort_keys=True).encode()
    return _zipped(files)


def _figures(whole: Whole) -> tuple[dict[str, bytes], dict[int, str]]:
    files: dict[str, bytes] = {}
    names: dict[int, str] = {}
    for position, block in enumerate(whole["blocks"]):
        if block["kind"] != "chart":
            continue
        name, spec = f"figures/figure{position + 1}", block["content"]["spec"]
        names[position] = name
        files[f"{name}.pdf"] = typeset.figure(spec)
        files[f"{name}.svg"] = charts.svg(spec).encode()
        files[f"{name}.png"] = charts.png(spec)
        files[f"{name}.vl.json"] = json.dumps(spec, indent=1, sort_keys=True).encode()
    return files, names


def _data(whole: Whole) -> dict[str, bytes]:
    """Every block's content as JSON, and as CSV what has rows."""
    files: dict[str, bytes] = {}
    for position, block in enumerate(whole["blocks"]):
        name, content = f"data/block{position + 1}", block["content"]
        files[f"{name}.json"] = canonical(content).encode()
        if content.get("data"):
            rows = pd.DataFrame(content["data"])
        elif block["kind"] == "table":
            rows = pd.DataFrame(content.get("rows", []), columns=content.get("columns", []))
        elif block["kind"] == "gates":
            rows = pd.DataFrame(content.get("rows", [])).drop(columns="evidence", errors="ignore")
        else:
            continue
        files[f"{name}.csv"] = csv(rows)
    return files


def _zipped(files: Mapping[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as made:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, DAY_ONE)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            made.writestr(entry, files[name])
    return held.getvalue()
