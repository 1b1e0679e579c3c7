"""What a frozen report pins besides its blocks: studies, runs with their fingerprints, definitions, software."""

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any

import pandas as pd
from sqlalchemy import Engine

from backend.canonical import canonical, plain
from backend.definitions import OBJECTIVES, definitions
from db import reads

PACKAGES = ("altair", "vl-convert-python", "moocore", "pandas", "numpy", "scipy", "sqlalchemy", "streamlit", "torch")  # fmt: skip

Block = Mapping[str, Any]


def studies(engine: Engine, blocks: Sequence[Block]) -> list[dict[str, Any]]:
    """Every revision of a study that a block is from: setting, seeds, attack grid, budgets, the runs it rested on.

    The runs are those that a block names; of a block that names none, all of the study that were complete when its data
    were taken.
    """
    found: list[dict[str, Any]] = []
    for (name, revision), mine in _by_study(engine, blocks).items():
        record, taken = reads.study(engine, name, revision), min(b["created_at"] for b in mine)
        if record is None:
            found.append(
                {"name": name, "revision": revision, "missing": True, "runs": [], "taken_at": taken}
            )
            continue
        told = record.document
        found.append(
            {
                "id": record.id,
                "name": name,
                "revision": record.revision,
                "origin": record.origin,
                "taken_at": taken,
                "setting": told.get("setting"),
                "seeds": told.get("seeds"),
                "attacks": told.get("attacks"),
                "budgets": sorted({b["content"]["budget"] for b in mine if b["content"].get("budget") is not None}),
                "runs": _rested_on(reads.finished_of_studies(engine, [record.id]), mine),
            }
        )  # fmt: skip
    return found


def _by_study(engine: Engine, blocks: Sequence[Block]) -> dict[tuple[str, int | None], list[Block]]:
    """The blocks of every revision of a study; one that names no revision is of the newest."""
    found: dict[tuple[str, int | None], list[Block]] = {}
    for block in blocks:
        name, revision = block["content"].get("study"), block["content"].get("revision")
        if name and revision is None:
            record = reads.study(engine, name)
            revision = None if record is None else record.revision
        if name:
            found.setdefault((name, revision), []).append(block)
    return found


def _rested_on(finished: pd.DataFrame, blocks: Sequence[Block]) -> list[int]:
    """Runs that blocks name, and what was complete when the others' data were taken."""
    found: set[int] = set()
    for block in blocks:
        named = block["content"].get("runs")
        if named:
            found |= {int(one) for one in named}
        else:
            later = finished["finished_at"] > block["created_at"]
            found |= {int(one) for one in finished.loc[~later, "id"]}
    return sorted(found)


def runs(engine: Engine, pinned: Iterable[Mapping[str, Any]], blocks: Sequence[Block]) -> list[dict[str, Any]]:  # fmt: skip
    """Every run that the report rests on, with its fingerprint and its part's version; the environments stand apart."""
    wanted = {run for study in pinned for run in study["runs"]}
    wanted |= named_runs([block["content"] for block in blocks])
    return [plain(row) for row in reads.provenance(engine, sorted(wanted))]


def named_runs(contents: Iterable[Mapping[str, Any]]) -> set[int]:
    """The runs that blocks name, by what they hold: what they are of, and who gave an answer."""
    found: set[int] = set()
    for content in contents:
        found |= {int(one) for one in content.get("runs") or []}
        found |= {int(a["run"]) for a in content.get("answers", []) if a.get("run") is not None}
    return found


def without_environments(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The runs without what they ran on, which is nearly always the same."""
    return [{key: value for key, value in row.items() if key != "environment"} for row in rows]


def environments(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the runs ran on: every different environment once, with the runs that it is of."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        told = row["environment"] or {}
        found.setdefault(canonical(told), {"environment": told, "runs": []})["runs"].append(
            row["id"]
        )
    return list(found.values())


def parts(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """The versions of every part: "stage name" → versions."""
    found: dict[str, set[int]] = {}
    for row in rows:
        found.setdefault(f"{row['stage']} {row['name']}", set()).add(int(row["version"]))
    return {name: sorted(versions) for name, versions in sorted(found.items())}


def pinned_definitions(pinned: Sequence[Mapping[str, Any]], blocks: Sequence[Block]) -> list[dict[str, Any]]:  # fmt: skip
    """What every number in the report means: the objectives, the studies' attacks, the metrics that blocks name."""
    names = {one.name for one in OBJECTIVES}
    for study in pinned:
        names |= {str(attack.get("name")) for attack in study.get("attacks") or []}
        setting = study.get("setting") or {}
        names |= {str(setting.get(key)) for key in ("forget_metric", "retain_metric")}
    asked = {str(g.get("metric")) for b in blocks for g in b["content"].get("gates", [])}
    for metric in asked:
        names |= {metric, metric.partition("_")[2]}  # forget_NAME and retain_NAME are NAME
    return [asdict(one) for one in definitions() if one.name in names]


def software() -> dict[str, Any]:
    """What froze the report: Python and the packages that make its numbers and pictures."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return {"python": platform.python_version(), "packages": found}
