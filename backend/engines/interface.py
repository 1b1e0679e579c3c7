"""What the worker needs of a place where runs execute, and what a cluster has to offer for it."""

from typing import Protocol

from backend.engines.attempt import Attempt


class AnySlot(Protocol):
    """One run at a time, somewhere. It tells `ready` and `done RUN STATE`."""

    number: int
    ever_ready: bool

    def fileno(self) -> int:
        """The descriptor to watch: readable when the slot spoke or ended."""

    def send(self, run_id: int, attempt: int, lease_seconds: float) -> None:
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

    def stop(self, hard: bool) -> None:
        """Ask the run to return to the queue, or end it at once."""


class Cluster(Protocol):
    """What an engine's file gives."""

    name: str

    def slots(self) -> int:
        """How many jobs have room at a time."""

    def start(self, attempt: Attempt) -> Job:
        """Do an attempt somewhere."""

    def close(self) -> None:
        """Give up the connection."""
