"""The worker's side of the playground: starts the process that answers when somebody asks, and sees to its end.

No torch here. Runs are not kept waiting by it: it stands beside their slots.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine

from backend.engines.local import environment
from backend.kinship import child_of_this
from backend.playground.server import new_name
from db import reads, writes

SERVER = ("-m", "backend", "run", "--prompts")
IDLE_SECONDS = 180.0  # then the process ends, and with it the models leave memory
STOP_SECONDS = 5.0  # for it to hand its request back
DEATHS_AT_START = 3


class Attendant:
    """At most one process that answers, of one worker."""

    def __init__(self, engine: Engine, home: Path, tell: Callable[[str, str], None]):
        self.engine, self.home, self.tell = engine, home, tell
        self.process: subprocess.Popen[bytes] | None = None
        self.name = ""
        self._deaths = 0

    def look(self) -> None:
        """Start the process where somebody waits and none is there; see to one that ended. Call it often."""
        if self.process is not None and self.process.poll() is not None:
            self._ended(self.process.returncode)
        if self.process is None and reads.prompts_waiting(self.engine):
            self._start()

    def _start(self) -> None:
        self.name = new_name()
        logs = self.home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self.log = logs / f"{self.name}.log"
        url = self.engine.url.render_as_string(hide_password=False)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *SERVER, self.name, "--idle", str(IDLE_SECONDS)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment(self.home, url), **child_of_this()},
                start_new_session=True,
            )
        self.tell("asked", "a process starts to answer prompts")

    def _ended(self, status: int) -> None:
        """Its request waits again; where it dies again and again without answering, those that wait fail."""
        self.process = None
        if status == 0:
            self._deaths = 0
            self._clear_log()
            self.tell("rested", "nobody asked for a while, so the models left memory")
            return
        reason = f"the process that answered {ending(status)}"
        lost = writes.lose_prompts(self.engine, self.name, reason)
        self._deaths = 0 if lost else self._deaths + 1
        self.tell("problem", reason)
        if self._deaths >= DEATHS_AT_START:
            self._deaths = 0
            said = self._last_words() or ending(status)
            writes.fail_waiting_prompts(self.engine, f"Nothing could answer here: {said}")
        self._clear_log()

    def stop(self) -> None:
        """End the process; what it was answering goes back to the queue."""
        process, self.process = self.process, None
        if process is None:
            return
        _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        _signal(process, signal.SIGKILL)
        process.wait()
        writes.lose_prompts(self.engine, self.name, "its worker stopped", stopping=True)
        self._clear_log()

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self.log.read_text(errors="replace").strip().splitlines()
            return lines[-1] if lines else ""
        return ""

    def _clear_log(self) -> None:
        """An empty log says nothing."""
        with contextlib.suppress(OSError):
            if self.log.stat().st_size == 0:
                self.log.unlink()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def ending(status: int) -> str:
    """How a process ended, as a clause without its subject."""
    if status >= 0:
        return f"ended with status {status}"
    name = signal.Signals(-status).name
    hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return f"was ended by {name}{hint}"
