"""Runs in processes of their own, on whatever machine a cluster gives them: one attempt, or one run after another.

It goes to that machine by value and imports nothing of ours there: only the command needs our code.
"""

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

LOOK_SECONDS = 0.2


class Attempt:
    """Call it to do the run; the exit status comes back, negative for a signal."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: str):
        self.command, self.environment, self.log = list(command), dict(environment), log
        self.child: subprocess.Popen[bytes] | None = None
        self.unwanted = False

    def __call__(self) -> int:
        """Start the command and wait for its end."""
        Path(self.log).parent.mkdir(parents=True, exist_ok=True)
        before = _prepared()
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # What the cluster chose, such as the GPUs, and on top of it what we have to say.
                env={**os.environ, **self.environment},
                preexec_fn=before,
            )
        if self.unwanted:
            self.child.terminate()
        # Never inside Popen.wait: a signal's handler that waits too would wait for ever.
        while self.child.poll() is None:
            time.sleep(LOOK_SECONDS)
        return self.child.returncode

    def stop(self) -> None:
        """Ask the run to keep its state and to go back to the queue."""
        self.unwanted = True
        if self.child is not None and self.child.poll() is None:
            self.child.terminate()

    def checkpoint(self, *_: Any, **__: Any) -> None:
        """What submitit calls before the machine is taken away; None says that it need not requeue: our queue does."""
        self.stop()
        while self.child is not None and self.child.poll() is None:
            time.sleep(LOOK_SECONDS)


class Serving:
    """A process that does one run after another, so that not every run has to wait for its libraries."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: str):
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        before = _prepared()
        with open(log, "ab") as errors:
            self.child = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **environment},
                preexec_fn=before,
            )

    def do(self, line: str) -> int | None:
        """Do the run that the line names; None where the process can do another, else its exit status."""
        assert self.child.stdin is not None and self.child.stdout is not None, "both are pipes"
        with contextlib.suppress(BrokenPipeError):
            self.child.stdin.write(f"{line}\n".encode())
            self.child.stdin.flush()
        done = False
        for said in self.child.stdout:
            done = done or said.startswith(b"done ")
            if done and said.startswith(b"ready"):
                return None
        return self.child.wait()

    def stop(self) -> None:
        """Ask the run to keep its state and to go back to the queue; the process ends then."""
        if self.child.poll() is None:
            self.child.terminate()


def _prepared() -> Callable[[], None] | None:
    """What the new process does first: ends with this one, and leaves a cluster's warnings to it."""
    return functools.partial(_prepare, os.getpid()) if sys.platform == "linux" else None


def _prepare(parent: int) -> None:
    """A job that the cluster ends takes the run along; a cluster's warnings are ours to understand, not the run's."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)  # it ended before it could take us along
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
