"""Slots on this machine: one process each, in a session of its own, spoken to through pipes."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import psutil

from backend.artifacts import ENVIRONMENT as ARTIFACTS
from backend.artifacts import given
from backend.engines.devices import Devices
from backend.engines.pipe import Ear, last_line
from backend.kinship import child_of_this
from backend.plugin_places import ENVIRONMENT as PLUGINS
from backend.plugin_places import given_paths
from backend.task_definitions import ENVIRONMENT as TASKS
from backend.task_definitions import allowed_folders
from db.writes import Claim

ROOT = Path(__file__).resolve().parents[2]
SLOT = ("-m", "backend", "run", "--serve")
MOST_SLOTS = 4
BYTES_PER_SLOT = 800_000_000  # a process with torch, and a small model at work


def default_slots() -> int:
    """How many runs to do at once here: a core each, at most four, fewer where memory is short."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    fitting = available_memory() // BYTES_PER_SLOT
    return int(max(1, min(cores or 1, MOST_SLOTS, fitting)))


def available_memory() -> int:
    """Bytes that new processes can use: the machine's, or what a container leaves of them."""
    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):  # "max" where there is no limit
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())
        free = min(free, limit - int((group / "memory.current").read_text()))
    return free


class Slot:
    """One slot's process. `fileno` makes it selectable: readable means that it spoke or ended."""

    def __init__(
        self,
        number: int,
        home: Path,
        database_url: str,
        log: Path,
        devices: Devices = Devices(),  # noqa: B008  (it never changes)
    ):
        log.parent.mkdir(parents=True, exist_ok=True)
        self.number, self.log = number, log
        self.ever_ready = False
        with open(log, "ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *SLOT, *devices.words()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={
                    **environment(home, database_url),
                    **devices.environment(number),
                    **child_of_this(),
                },
                start_new_session=True,
            )
        self._ear = Ear(self.fileno())

    def fileno(self) -> int:
        """The descriptor to watch."""
        return self._output.fileno()

    @property
    def _output(self) -> IO[bytes]:
        assert self.process.stdout is not None, "stdout is a pipe"
        return self.process.stdout

    def send(self, claim: Claim, lease_seconds: float) -> None:
        """Hand over a run; if the process is gone, its end of the pipe will say so."""
        assert self.process.stdin is not None, "stdin is a pipe"
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{claim.run_id} {claim.attempt} {lease_seconds}\n".encode())
            self.process.stdin.flush()

    def hear(self) -> list[list[str]] | None:
        """The lines that have come, as words; None once the process has ended."""
        return self._ear.listen()

    def dismiss(self) -> None:
        """End of input: an idle slot ends."""
        assert self.process.stdin is not None, "stdin is a pipe"
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def signal(self, number: int) -> None:
        """Send a signal to the slot and to all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def bury(self) -> int:
        """Wait for the process's end, without mercy for what it left behind; its status."""
        try:
            status = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            status = self.process.wait()
        self._output.close()
        self.dismiss()
        with contextlib.suppress(OSError):
            if self.log.stat().st_size == 0:
                self.log.unlink()
        return status

    def last_words(self) -> str:
        """The last line of the slot's log."""
        return last_line(self.log)


def environment(home: Path, database_url: str) -> dict[str, str]:
    """What a process of this worker finds in its environment: where to work, with one thread."""
    return {**os.environ, **ours(home, database_url)}


def ours(home: Path, database_url: str) -> dict[str, str]:
    """The part of it that is ours, on whatever machine."""
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
    theirs = os.pathsep.join(map(str, given_paths(os.environ.get(PLUGINS, ""))))
    tasks = os.pathsep.join(map(str, allowed_folders()))
    return {
        **({PLUGINS: theirs} if theirs else {}),
        **({TASKS: tasks} if tasks else {}),
        **({ARTIFACTS: given()} if given() else {}),
        "LETHE_HOME": str(home.absolute()),
        "LETHE_DATABASE_URL": database_url,
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
