"""Slots that are jobs of a cluster: the worker speaks to them as to its own processes, the database stays the truth."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sqlalchemy.exc import DBAPIError

from backend.engines.interface import Job, Work
from backend.engines.local import ours
from backend.engines.pipe import Ear, last_line
from db.writes import Claim

POLL_SECONDS = 0.5
ASK_SECONDS = 2.0  # between two questions to the database whether the run is over
GRACE_SECONDS = 15.0  # for a job to end whose run is over


Start = Callable[[Work], Job]


class Book(Protocol):
    """What a slot asks the database."""

    def keep(self, run_id: int, attempt: int, lease_seconds: float) -> bool:
        """Renew the lease: a job may wait for its machine. False where that attempt does not hold the run any more."""

    def state(self, run_id: int, attempt: int) -> str | None:
        """The state of the run, None while that attempt holds it."""


class RemoteSlot:
    """One run at a time somewhere else; the same words through a pipe as those of `backend.engines.local.Slot`."""

    def __init__(
        self, number: int, home: Path, database_url: str, log: Path, start: Start, book: Book
    ):
        self.number, self.log, self.ever_ready = number, log, False
        self._environment = ours(home, database_url)
        self._start, self._book = start, book
        self._hears, self._says = os.pipe()
        self._ear = Ear(self._hears)
        self._wish: int | None = None
        self._status, self._dismissed = 0, False
        self._closed = threading.Lock()
        self._thread: threading.Thread | None = None
        self._say("ready")

    def fileno(self) -> int:
        """The descriptor to watch."""
        return self._hears

    def send(self, claim: Claim, lease_seconds: float) -> None:
        """Hand over a run: a job is started for it."""
        self._thread = threading.Thread(target=self._do, args=(claim, lease_seconds), daemon=True)
        self._thread.start()

    def hear(self) -> list[list[str]] | None:
        """The lines that have come, as words; None once the slot has ended."""
        return self._ear.listen()

    def dismiss(self) -> None:
        """No further run; an idle slot ends."""
        self._dismissed = True
        if self._thread is None or not self._thread.is_alive():
            self._close()

    def signal(self, number: int) -> None:
        """What a signal would do to a process here: SIGTERM returns the run, SIGKILL ends the job."""
        if self._wish != signal.SIGKILL:
            self._wish = number

    def bury(self) -> int:
        """Wait for the slot's end; the status of its last job."""
        self._wish = signal.SIGKILL
        if self._thread is not None:
            self._thread.join(GRACE_SECONDS)
        self._close()
        os.close(self._hears)
        return self._status

    def last_words(self) -> str:
        """The last line of the slot's log."""
        return last_line(self.log)

    def _do(self, claim: Claim, lease_seconds: float) -> None:
        run_id, attempt = claim.run_id, claim.attempt
        work = Work(run_id, attempt, lease_seconds, self._environment, str(self.log), claim.memory)
        try:
            job = self._start(work)
            self._status = self._watch(job, run_id, attempt, lease_seconds)
        except Exception as problem:  # whatever the cluster's library raises: the run goes back
            self._note(f"{type(problem).__name__}: {problem}")
            self._status = 1
        state = self._asked(run_id, attempt)
        if state is None:  # it ended without a word: the worker will say that it is lost
            self._close()
            return
        self._say(f"done {run_id} {state}")
        self._wish = None if self._wish == signal.SIGTERM else self._wish
        if self._dismissed or self._wish:
            self._close()
        else:
            self._say("ready")

    def _watch(self, job: Job, run_id: int, attempt: int, lease_seconds: float) -> int:
        """The job's status once it is over; a job whose run is over is not waited for long."""
        told: int | None = None
        over_at: float | None = None
        asked = 0.0
        while (status := job.poll()) is None:
            now = time.monotonic()
            if self._wish is not None and self._wish != told:
                told = self._wish
                job.stop(hard=told == signal.SIGKILL)
            if over_at is None and now - asked > min(ASK_SECONDS, lease_seconds / 4):
                asked = now
                with contextlib.suppress(DBAPIError):
                    over_at = None if self._book.keep(run_id, attempt, lease_seconds) else now
            if over_at is not None and now - over_at > GRACE_SECONDS:
                job.stop(hard=True)
                return 0
            time.sleep(POLL_SECONDS)
        return status

    def _asked(self, run_id: int, attempt: int) -> str | None:
        """What the database says of the run, once it says something."""
        while True:
            try:
                return self._book.state(run_id, attempt)
            except DBAPIError:
                if self._wish == signal.SIGKILL:
                    return None  # the lease will see to it
                time.sleep(POLL_SECONDS)

    def _note(self, line: str) -> None:
        with contextlib.suppress(OSError):
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with open(self.log, "a", encoding="utf-8") as log:
                log.write(f"{line}\n")

    def _say(self, line: str) -> None:
        with self._closed, contextlib.suppress(OSError):
            os.write(self._says, f"{line}\n".encode())

    def _close(self) -> None:
        with self._closed:
            if self._says >= 0:
                os.close(self._says)
                self._says = -1
