"""A report's life: begun from a study, frozen, verified, compared with what came later, copied."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pandas as pd
from sqlalchemy import Engine

from backend.canonical import canonical, sha256
from backend.reports import blocks, pins
from backend.results import frontier_document
from backend.stage import UserError
from db import reads, writes

FORMAT = 1  # of the frozen text

Payload = dict[str, Any]


def known_report(engine: Engine, report_id: int) -> dict[str, Any]:
    """A report with its blocks; UserError where there is none."""
    found = reads.report(engine, report_id)
    if found is None:
        raise UserError(f"There is no report {report_id}.")
    return found


def documents(engine: Engine, study: str) -> blocks.DocumentAt:
    """The frontier document of a study at a budget, each made once."""

    @cache
    def at(budget: int | None) -> Mapping[str, Any]:
        return frontier_document(engine, study, budget)

    return at


def begin_review(
    engine: Engine,
    study: str,
    title: str = "",
    author: str = "",
    selected: Sequence[str] = (),
    document_at: blocks.DocumentAt | None = None,
) -> int:
    """A new report from the template "Review of a study"; its id.

    `document_at` gives the study's frontier document at a budget, where a caller has it at hand.

    Raises:
        UserError: there is no such study, or nothing of it is finished
        DatabaseProblem: the title is too long
    """
    made = blocks.review(document_at or documents(engine, study), selected)
    return writes.create_report(engine, title or f"Review of {study}", author, made)


def freeze(engine: Engine, report_id: int, author: str = "") -> str:
    """Freeze a report with everything that it rests on; the SHA-256 of what is stored.

    Raises:
        UserError: there is no such report, or it has no block
        DatabaseProblem: it is frozen already, or has changed meanwhile
    """
    found = known_report(engine, report_id)
    if not found["blocks"]:
        raise UserError("The report has no block: there is nothing to freeze.")
    text = canonical(_payload(engine, found, author))
    return writes.freeze_report(engine, report_id, text, found["updated_at"], author)


def _payload(engine: Engine, found: Mapping[str, Any], author: str) -> Payload:
    held = found["blocks"]
    studies = pins.studies(engine, held)
    runs = pins.runs(engine, studies, held)
    return {
        "format": FORMAT,
        "report": found["id"],
        "title": found["title"],
        "frozen_at": datetime.now(UTC),
        "frozen_by": author,
        "blocks": [_checked(block) for block in held],
        "studies": studies,
        "runs": pins.without_environments(runs),
        "environments": pins.environments(runs),
        "parts": pins.parts(runs),
        "definitions": pins.pinned_definitions(studies, held),
        "software": pins.software(),
    }


def _checked(block: Mapping[str, Any]) -> dict[str, Any]:
    return _shown(block) | {"content": blocks.checked(block["kind"], block["content"])}


def _shown(block: Mapping[str, Any]) -> dict[str, Any]:
    told = {key: block[key] for key in ("kind", "title", "content")}
    return told | {"taken_at": block["created_at"]}


def payload(found: Mapping[str, Any]) -> Payload:
    """What a frozen report shows; for an open one the same shape, made of its blocks, without pins."""
    if found["frozen"] is not None:
        read: Payload = json.loads(found["frozen"])
        return read
    nothing: Payload = {name: [] for name in ("studies", "runs", "environments", "definitions")}
    shown = [_shown(block) | {"id": block["id"]} for block in found["blocks"]]
    head = {"report": found["id"], "title": found["title"], "frozen_at": None, "frozen_by": ""}
    return nothing | head | {"blocks": shown, "parts": {}, "software": {}, "format": FORMAT}


def verified(found: Mapping[str, Any], trail: pd.DataFrame) -> str:
    """Why a frozen report is not what was frozen; empty where its text has the hash that stands beside it and in the trail."""
    now = sha256(found["frozen"])
    if now != found["sha256"]:
        return f"its text has the SHA-256 {now}, but {found['sha256']} was stored with it"
    frozen = trail[trail["kind"] == "frozen"]["text"].tolist()
    if frozen != [f"SHA-256 {now}"]:
        return "the audit trail does not name its SHA-256"
    return ""


def newer(engine: Engine, pinned: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What has happened to a frozen report's studies since their data were taken.

    For each: name, finished (runs that ended since), gone (pinned runs that are deleted), revised (there is a newer revision).
    """
    found = []
    for study in pinned:
        there = {row["id"] for row in reads.provenance(engine, study["runs"])}
        record = reads.study(engine, study["name"])
        since = finished_since(engine, study["name"], _moment(study["taken_at"]))
        gone = len(set(study["runs"]) - there)
        revised = record is not None and record.revision != study["revision"]
        found.append({"name": study["name"], "finished": since, "gone": gone, "revised": revised})
    return found


def finished_since(engine: Engine, study: str, taken_at: datetime) -> int:
    """How many runs of a study's newest revision were finished after a moment; 0 where there is no such study."""
    record = reads.study(engine, study)
    if record is None:
        return 0
    finished = reads.finished_of_studies(engine, [record.id])
    return int((finished["finished_at"] > taken_at).sum()) if len(finished) else 0


def take_anew(engine: Engine, block: Mapping[str, Any], author: str = "") -> None:
    """Make a block again from its study as it is now.

    Raises:
        UserError: the block does not say how it was made, or its study is gone
        DatabaseProblem: the report is frozen, or the block has changed meanwhile
    """
    content = block["content"]
    made = blocks.anew(content, documents(engine, content.get("study", "")))
    if made is None:
        raise UserError("This block does not say how it was made; add it again from its page.")
    writes.edit_block(engine, block["id"], block["title"], made, block["updated_at"], author, True)


def copy(engine: Engine, report_id: int, author: str = "") -> int:
    """A new open report with the same blocks and their data; its id."""
    found = known_report(engine, report_id)
    told = payload(found)
    held = [{**one, "created_at": _moment(one["taken_at"])} for one in told["blocks"]]
    of = f"report {report_id}" + (f", SHA-256 {found['sha256']}" if found["sha256"] else "")
    title = f"{told['title'][:190]} (copy)"
    return writes.create_report(engine, title, author, held, f"(copied from {of})")


def _moment(value: str | datetime) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
