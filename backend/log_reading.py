"""Reading a run's log: its file where this machine has it, what the database keeps of it, or why there is none."""

import platform
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from backend.log_lines import LEVELS, parsed
from backend.run_log import lines_of, merged
from backend.stage import UserError
from db import reads

MOST = 2_000  # lines of an answer
NOT_BEGUN = "The run has not begun; its log begins with it."
IMPORTED = "Imported runs were made elsewhere, so they have no log here."
NOT_KEPT = "No log is here: it was removed, or the run is older than logs are."


def run_log(
    engine: Engine, run: dict[str, Any], home: Path, level: str = "info", last: int = MOST
) -> dict[str, Any]:
    """The last lines of a run's log at a level and above, oldest first, and where they come from.

    `run` is what `db.reads.run` gives. The document has `run`, `state`, `lines` (time, level, attempt, event, message,
    fields), `total` (how many lines of that level there are), `source` (`file`, `database`, `both` or None), `host` (that of
    what the database keeps) and `why`: a sentence where there are no lines, or where only the last ones are here.

    Raises:
        UserError: there is no such level, or no line was asked for
    """
    if level not in LEVELS:
        raise UserError(f"{level!r} is no level; there are: {', '.join(LEVELS)}.")
    if not 1 <= last <= MOST:
        raise UserError(f"{last} lines cannot be given; ask for 1 to {MOST}.")
    kept = reads.kept_log(engine, run["id"])
    here = lines_of(home, run["fingerprint"])
    stored = [line for line in kept.text.split("\n") if line] if kept else []
    known = [line for line in map(parsed, merged(stored, here)) if line is not None]
    lines = [line for line in known if LEVELS.index(_level(line)) >= LEVELS.index(level)]
    source = {(True, False): "file", (False, True): "database", (True, True): "both"}
    return {
        "run": run["id"],
        "state": run["state"],
        "lines": lines[-last:],
        "total": len(lines),
        "source": source.get((bool(here), bool(stored))),
        "host": kept.host if kept else None,
        "why": _why(run, bool(known), bool(here), kept),
    }


def _level(line: dict[str, Any]) -> str:
    return line["level"] if line["level"] in LEVELS else "info"


def _why(run: dict[str, Any], any_line: bool, here: bool, kept: reads.KeptLog | None) -> str:
    host = (run["environment"] or {}).get("host") or (kept.host if kept else "")
    if any_line:
        remote = not here and kept is not None
        return f"These are the last lines, as the database keeps them; the whole log lies on {kept.host or 'another machine'}." if remote and kept else ""  # fmt: skip
    if run["origin"] == "imported":
        return IMPORTED
    if run["state"] == "running" and host and host != platform.node():
        return f"It works on {host}, whose files are not here; the end of its log comes when the run ends."  # fmt: skip
    return NOT_BEGUN if not run["attempt"] else NOT_KEPT
