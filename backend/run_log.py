"""The log of a run: a file in the data directory while it works, and its last lines in the database when it has ended.

The file is named by the run's fingerprint and holds all attempts. It has at most `MOST` bytes, and one older file beside it
as many.
"""

import logging
import platform
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from backend.log_lines import LOG, Rotating, parsed, record_of, say
from db import writes

MOST = 500_000  # bytes of a file
TAIL_LINES, TAIL_BYTES = 200, 64_000  # of what goes into the database
MOST_WARNINGS = 100  # different ones of an attempt
OLDER = ".1"  # what the standard library calls the file before


def place(home: Path, fingerprint: str) -> Path:
    """Where a run's log lies; fingerprints are our own hexadecimal names, never a user's text."""
    assert fingerprint.replace("_", "").isalnum(), f"not a fingerprint: {fingerprint!r}"
    return home / "logs" / "runs" / f"{fingerprint}.jsonl"


@contextmanager
def keeping(home: Path, fingerprint: str, attempt: int) -> Iterator[None]:
    """While the context is open, what is said in this process goes into the run's log, Python's warnings once each."""
    handler, before = Rotating(place(home, fingerprint), MOST, attempt), LOG.level
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    try:
        with _warned():
            yield
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(before)
        handler.close()


@contextmanager
def _warned() -> Iterator[None]:
    # It also lets every warning show again that an earlier run of this process has shown.
    with warnings.catch_warnings():
        shown = warnings.showwarning
        warnings.showwarning = _hearing(shown)  # type: ignore[assignment]
        try:
            yield
        finally:
            warnings.showwarning = shown


def _hearing(shown: Callable[..., None]) -> Callable[..., None]:
    known: set[tuple[str, str]] = set()

    def hear(
        message: Any, category: Any, filename: str, lineno: int, *more: Any, **named: Any
    ) -> None:
        key = (category.__name__, str(message))
        if key not in known and len(known) < MOST_WARNINGS:
            known.add(key)
            where = f"{Path(filename).name}:{lineno}"
            say("warning", key[1], logging.WARNING, category=key[0], where=where)
        shown(message, category, filename, lineno, *more, **named)

    return hear  # fmt: skip


def add_line(
    home: Path, fingerprint: str, attempt: int, event: str, message: str, **fields: Any
) -> None:
    """A line of the level error from outside the run's process, such as that the process is gone."""
    handler = Rotating(place(home, fingerprint), MOST, attempt)
    handler.handle(record_of(event, message, logging.ERROR, fields))
    handler.close()


def keep_tail(engine: Engine, home: Path, run_id: int, fingerprint: str, attempt: int) -> None:
    """Put the last lines into the database. Where that fails, the run is none the worse."""
    mine = lines_of(home, fingerprint)

    def joined(before: str) -> str:
        return _tail(merged(before.split("\n"), mine))

    with suppress(Exception):
        writes.keep_log(engine, run_id, attempt, platform.node(), joined)


def lines_of(home: Path, fingerprint: str) -> list[str]:
    """The lines of a run's log on this machine, oldest first; none where there is no such file."""
    path = place(home, fingerprint)
    found: list[str] = []
    for file in (path.with_name(path.name + OLDER), path):
        with suppress(OSError):
            found += file.read_text(encoding="utf-8", errors="replace").split("\n")
    return [line for line in found if line]


def merged(*parts: Iterable[str]) -> list[str]:
    """The lines of several copies of a log, each once, by time; those that are not ours are left out."""
    told = {line: parsed(line) for part in parts for line in part}
    known = {line: one["time"] for line, one in told.items() if one is not None}
    return sorted(known, key=lambda line: known[line])


def _tail(lines: list[str]) -> str:
    kept: list[str] = []
    room = TAIL_BYTES
    for line in reversed(lines[-TAIL_LINES:]):
        room -= len(line.encode()) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join(reversed(kept))


def forget(home: Path, fingerprints: Iterable[str]) -> None:
    """Remove the logs of runs that were deleted for good."""
    for fingerprint in fingerprints:
        path = place(home, fingerprint)
        for file in (path, path.with_name(path.name + OLDER)):
            with suppress(OSError):
                file.unlink()
