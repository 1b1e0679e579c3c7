"""How slots are heard: lines of words through a pipe, and the last line of a log."""

import contextlib
import os
from pathlib import Path


class Ear:
    """What comes through a pipe, in whole lines."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self._heard = b""

    def listen(self) -> list[list[str]] | None:
        """The lines that have come, as words; None once the other end is closed."""
        data = os.read(self._descriptor, 65536)
        if not data:
            return None
        *lines, self._heard = (self._heard + data).split(b"\n")
        return [line.decode(errors="replace").split() for line in lines]


def last_line(log: Path) -> str:
    """The last line of a log; empty where there is none."""
    with contextlib.suppress(OSError):
        lines = log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""
    return ""
