"""A report as PDF: Typst sets it from data, with real text, embedded fonts and tags for screen readers."""

import json
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typst

from backend.reports import charts, prose, words

TEMPLATE = Path(__file__).with_name("report.typ")
# Typst brings the first of each; what they lack is taken from fonts of the machine where it has them.
FONTS = [
    "Libertinus Serif",
    "Liberation Sans",
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Color Emoji",
]
MONO = ["DejaVu Sans Mono", "Liberation Mono", "Noto Sans Mono CJK SC"]
# A vector picture on a page of its own size; the same input gives the same bytes, unlike the renderer's own PDF.
FIGURE = '#set page(width: auto, height: auto, margin: 0pt)\n#image("figure.pdf")\n'
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def pdf(whole: Mapping[str, Any]) -> bytes:
    """The whole report; equal reports give equal bytes on one machine."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        told = _data(whole, place)
        (place / "report.json").write_text(json.dumps(told), encoding="utf-8")
        (place / "report.typ").write_bytes(TEMPLATE.read_bytes())
        at = whole["frozen_at"]
        return _compiled(place / "report.typ", datetime.fromisoformat(at) if at else EPOCH)


def figure(spec: Mapping[str, Any]) -> bytes:
    """A chart as one page of its size with its fonts embedded; equal charts give equal bytes."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "figure.pdf").write_bytes(charts.pdf(spec))
        (place / "figure.typ").write_text(FIGURE)
        return _compiled(place / "figure.typ", EPOCH)


def _compiled(source: Path, at: datetime) -> bytes:
    # Files outside the root are out of reach, and packages would come from the network: none is named.
    return bytes(
        typst.compile(str(source), root=str(source.parent), timestamp=at.replace(microsecond=0))
    )


def _data(whole: Mapping[str, Any], place: Path) -> dict[str, Any]:
    """What the template needs, all of it words; the charts are written beside it."""
    blocks = [_block(block, i, place) for i, block in enumerate(whole["blocks"])]
    decided = [
        {
            "verdict": words.decided(one["kind"]),
            "moment": words.moment(one["created_at"]),
            "author": one["author"],
            "text": one["text"],
        }
        for one in whole["decisions"]
    ]
    return {
        **{key: whole[key] for key in ("title", "state", "rests_on")},
        "footer": f"{whole['title']} · {whole['state']}",
        "sha256": whole["sha256"] or "",
        "fonts": FONTS,
        "mono": MONO,
        "blocks": blocks,
        "decisions": decided,
        "definitions": [[d["label"], d["summary"], d["direction"], d["limits"]] for d in whole["definitions"]],
        "trail": [[words.moment(e["created_at"]), e["kind"], e["author"], e["text"]] for e in whole["trail"]],
    }  # fmt: skip


def _block(block: Mapping[str, Any], position: int, place: Path) -> dict[str, Any]:
    content, kind = block["content"], block["kind"]
    told: dict[str, Any] = {"kind": kind, "title": block["title"]}
    told["caption"] = str(content.get("caption") or "")
    if kind == "text":
        return told | {"nodes": prose.tree(str(content.get("text", "")))}
    if kind == "chart":
        name = f"chart{position}.pdf"
        (place / name).write_bytes(charts.pdf(content["spec"]))
        return told | {"file": name}
    if kind == "table":
        rows = [[words.written(value) for value in row] for row in content.get("rows", [])]
        return told | {"columns": [str(one) for one in content.get("columns", [])], "rows": rows}
    return told | (_case(content) if kind == "case" else _gates(content))


def _case(content: Mapping[str, Any]) -> dict[str, Any]:
    settings = content.get("settings") or {}
    told = ", ".join(f"{k} = {v}" for k, v in settings.items()) if isinstance(settings, Mapping) else str(settings)  # fmt: skip
    answers = [_answer(answer) for answer in content.get("answers", [])]
    return {"prompt": str(content.get("prompt", "")), "settings": told, "answers": answers}


def _answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    cut = words.pieces(str(answer.get("text", "")), answer.get("leaks"))
    count = sum(leaks for _, leaks in cut)
    run = f"run {answer['run']}; " if answer.get("run") is not None else ""
    return {
        "model": str(answer.get("model", "")),
        "said": run + (f"{count} leaks marked" if count else "no leak marked"),
        "pieces": [{"text": text, "leaks": leaks} for text, leaks in cut],
    }


def _gates(content: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        {
            **{key: row[key] for key in ("configuration", "gate", "state", "reason")},
            "verdict": words.state(row["state"]),
            "measured": words.measured(row),
            "evidence": words.evidence(row),
        }
        for row in content.get("rows", [])
    ]
    told = {"tally": words.tally(content.get("rows", [])), "asked": words.asked(content)}
    return {"rows": rows, **told}
