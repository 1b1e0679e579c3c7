"""One line of a log: JSON with time, level, attempt, event, message and fields. The standard library's logging writes it.

What works says what happens by `say`; who keeps a log hangs a handler on `LOG` (`backend.run_log`). Nothing here is said
at every step of a training.
"""

import contextlib
import json
import logging
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from backend.redaction import HIDDEN, names_secret, redacted, secrets_here

LOG = logging.getLogger("lethe")
LEVELS = ("info", "warning", "error")
LONGEST, LONGEST_TRACE, LONGEST_LINE = 4_000, 12_000, 24_000  # characters of a text, of a line
MOST_ITEMS, DEEPEST = 60, 5  # of lists and mappings among the fields
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # what could steer a terminal


def say(event: str, message: str, level: int = logging.INFO, **fields: Any) -> None:
    """Say what happens to the log that is kept, if one is."""
    LOG.log(level, "%s", message, extra={"event": event, "fields": fields})


class Lines(logging.Formatter):
    """Records as lines of JSON with the number of the attempt; secrets that this process knows are hidden."""

    def __init__(self, attempt: int | None = None):
        super().__init__()
        self._attempt, self._secrets = attempt, secrets_here()

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its end."""
        fields = dict(getattr(record, "fields", {}))
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        at = datetime.fromtimestamp(record.created, UTC)
        told = {
            "time": at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": _level(record.levelno),
            "attempt": self._attempt,
            "event": getattr(record, "event", "message"),
            "message": self._bounded(record.getMessage()),
            "fields": self._bounded(fields),
        }
        line = json.dumps(told, ensure_ascii=False)
        if len(line) > LONGEST_LINE:
            trace = {name: told["fields"][name] for name in ("traceback",) if name in fields}
            line = json.dumps({**told, "fields": {"left_out": len(line), **trace}}, ensure_ascii=False)  # fmt: skip
        return line

    def _bounded(self, value: Any, name: str = "", depth: int = 0) -> Any:
        """The value as JSON can hold it, without secrets, and no longer than a log should be."""
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if depth < DEEPEST and isinstance(value, Mapping):
            held = [(str(key), one) for key, one in value.items()][:MOST_ITEMS]
            return {key: self._bounded(one, key, depth + 1) for key, one in held}
        if depth < DEEPEST and isinstance(value, list | tuple):
            return [self._bounded(one, name, depth + 1) for one in value[:MOST_ITEMS]]
        if names_secret(name):
            return HIDDEN
        text = redacted(str(value), self._secrets)  # before it is cut: half a secret is one too
        if name == "traceback":  # whose end says what happened
            return text[-LONGEST_TRACE:]
        return text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text)} characters)"


class Rotating(RotatingFileHandler):
    """Lines in a file, and in one older file, of at most so many bytes each. A log that cannot be written harms nobody."""

    def __init__(self, path: Path, most: int, attempt: int | None = None):
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
        kept: dict[str, Any] = {"maxBytes": most, "backupCount": 1, "delay": True}
        super().__init__(path, encoding="utf-8", errors="replace", **kept)
        self.setFormatter(Lines(attempt))

    def handleError(self, record: logging.LogRecord) -> None:
        """Leave the line out: the disk is full, or the folder is not ours to write to."""

    def close(self) -> None:
        """Close the file, whatever could not be written to it."""
        with contextlib.suppress(OSError):
            super().close()


def record_of(event: str, message: str, level: int, fields: Mapping[str, Any]) -> logging.LogRecord:
    """A record for a handler that hangs on no logger."""
    extra = {"event": event, "fields": fields}
    return LOG.makeRecord(LOG.name, level, "", 0, "%s", (message,), None, extra=extra)


def parsed(line: str) -> dict[str, Any] | None:
    """What a line says; None for one that is none of ours, such as one that a crash cut short."""
    try:
        told = json.loads(line)
        told["attempt"] = None if told["attempt"] is None else int(told["attempt"])
        named = {name: str(told[name]) for name in ("time", "level", "event", "message")}
        datetime.fromisoformat(named["time"])
        return {**named, "attempt": told["attempt"], "fields": dict(told["fields"])}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def words(line: Mapping[str, Any], when: str) -> str:
    """A parsed line for people, `when` being its time as they read it; what could steer a terminal is shown as �."""
    fields = dict(line["fields"])
    trace = str(fields.pop("traceback", "")).rstrip()
    more = " ".join(f"{key}={_short(value)}" for key, value in fields.items() if value is not None)
    attempt = f"#{line['attempt']} " if line["attempt"] else ""
    told = f"{when} {line['level']:7} {attempt}{line['event']}: {line['message']}"
    told = f"{told}  {more}" if more else told
    return CONTROL.sub("�", f"{told}\n{trace}" if trace else told)


def _level(number: int) -> str:
    return "error" if number >= logging.ERROR else "warning" if number >= logging.WARNING else "info"  # fmt: skip


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
