"""The log of a worker: what it tells while it works, as JSON lines in a file of its own that does not grow for ever."""

import contextlib
import logging
import time
from pathlib import Path

from backend.log_lines import Rotating, record_of

MOST = 250_000  # bytes of a file; there are two of each worker
NEWEST = 30  # files that stay when a worker begins …
KEPT_SECONDS = 86_400.0  # … and those that somebody has written to of late
PROBLEMS = ("problem", "lost", "failed")


class WorkerLog:
    """Lines of one worker, in `logs/workers` of the data directory; call it with what happened."""

    def __init__(self, home: Path, worker_id: str):
        folder = home / "logs" / "workers"
        _tidy(folder)
        self._handler = Rotating(folder / f"{worker_id}.jsonl", MOST)

    def __call__(self, kind: str, text: str = "", run_id: int | None = None) -> None:
        """Write a line; problems have the level of a warning."""
        level = logging.WARNING if kind in PROBLEMS else logging.INFO
        fields = {} if run_id is None else {"run": run_id}
        self._handler.handle(record_of(kind, text, level, fields))

    def close(self) -> None:
        """No further line."""
        self._handler.close()


def _tidy(folder: Path) -> None:
    """Remove logs of workers that ended long ago, so that workers that come and go fill no disk."""
    with contextlib.suppress(OSError):
        found = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in found[NEWEST:]:
            if time.time() - path.stat().st_mtime > KEPT_SECONDS:
                path.unlink(missing_ok=True)
