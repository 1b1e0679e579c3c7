"""What the worker needs of a place where runs execute, and what a cluster has to offer for it."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from db.writes import Claim


@dataclass(frozen=True)
class Work:
    """One attempt at a run: what to do, with which of our variables in the environment, and where to write what is said.

    `memory` is the bytes that it is expected to need, 0 where nobody knows.
    """

    run_id: int
    attempt: int
    lease_seconds: float
    environment: Mapping[str, str]
    log: str
    memory: int = 0

    @property
    def command(self) -> list[str]:
        """A process that does it and ends."""
        words = ["--attempt", str(self.attempt), "--lease", str(self.lease_seconds)]
        return [sys.executable, "-m", "backend", "run", str(self.run_id), *words]

    @property
    def line(self) -> str:
        """What to tell a process that serves."""
        return f"{self.run_id} {self.attempt} {self.lease_seconds}"


class AnySlot(Protocol):
    """One run at a time, somewhere. It tells `ready` and `done RUN STATE`; one of a cluster also how its jobs start and end."""

    number: int
    ever_ready: bool

    def fileno(self) -> int:
        """The descriptor to watch: readable when the slot spoke or ended."""

    def send(self, claim: Claim, lease_seconds: float) -> None:
        """Hand over a run."""

    def hear(self) -> list[list[str]] | None:
        """The lines that have come, as words; None once the slot has ended."""

    def dismiss(self) -> None:
        """No further run; an idle slot ends."""

    def signal(self, number: int) -> None:
        """SIGTERM: the run returns to the queue with its state. SIGKILL: it ends at once."""

    def bury(self) -> int:
        """Wait for the slot's end; its status, negative for a signal."""

    def last_words(self) -> str:
        """The last line of the slot's log."""


class Job(Protocol):
    """One attempt on a cluster."""

    def poll(self) -> int | None:
        """The exit status once it is over, however it ended; None before."""

    def told(self) -> str:
        """How it ended as a clause, where the cluster knows more than the status says; else empty."""

    def stop(self, hard: bool) -> None:
        """Ask the run to return to the queue, or end it at once."""


class Cluster(Protocol):
    """What an engine's file gives."""

    name: str

    def slots(self) -> int:
        """How many jobs have room at a time."""

    def start(self, work: Work) -> Job:
        """Do it somewhere."""

    def close(self) -> None:
        """Give up the connection."""
