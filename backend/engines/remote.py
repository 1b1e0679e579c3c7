"""Slots that are jobs of a cluster: the worker speaks to them as to its own processes, the database stays the truth."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from backend.engines.interface import Job, Work
from backend.engines.local import ours
from backend.engines.pipe import Ear, last_line
from backend.patience import REFUSALS
from db.writes import Claim

POLL_SECONDS = 0.5
ASK_SECONDS = 2.0  # between two questions to the database whether the run is over
GRACE_SECONDS = 15.0  # for a job to end whose run is over
LONGEST = 500  # characters of what a cluster says

T = TypeVar("T")
Start = Callable[[Work], Job]


class Book(Protocol):
    """What a slot asks the database."""

    def keep(self, run_id: int, attempt: int, lease_seconds: float) -> bool:
        """Renew the lease: a job may wait for its machine. False where that attempt does not hold the run any more."""

    def state(self, run_id: int, attempt: int) -> str | None:
        """The state of the run, None while that attempt holds it."""

    def give_back(self, run_id: int, attempt: int, reason: str) -> str:
        """Return a run that was not begun; what has become of it."""


class RemoteSlot:
    """One run at a time somewhere else; the same words through a pipe as those of `backend.engines.local.Slot`, and

    `started` once the cluster has taken the job, `unstarted STATE WHY` where it has not, `ended HOW` where the job ended without a word.
    """

    def __init__(
        self, number: int, home: Path, database_url: str, log: Path, start: Start, book: Book
    ):
        self.number, self.log, self.ever_ready = number, log, False
        self._environment = ours(home, database_url)
        self._start, self._book = start, book
        self._hears, self._says = os.pipe()
        self._ear = Ear(self._hears)
        self._wish: int | None = None
        self._status, self._noted = 0, ""
        self._busy, self._dismissed = False, False
        self._turn = threading.RLock()  # held while the slot is closed, or says that it is not
        self._thread: threading.Thread | None = None
        self._say("ready")

    def fileno(self) -> int:
        """The descriptor to watch."""
        return self._hears

    def send(self, claim: Claim, lease_seconds: float) -> None:
        """Hand over a run: a job is started for it."""
        self._busy = True
        self._thread = threading.Thread(target=self._do, args=(claim, lease_seconds), daemon=True)
        self._thread.start()

    def hear(self) -> list[list[str]] | None:
        """The lines that have come, as words; None once the slot has ended."""
        return self._ear.listen()

    def dismiss(self) -> None:
        """No further run; an idle slot ends."""
        with self._turn:
            self._dismissed = True
            if not self._busy:
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
        """One run, and then the next one or the slot's end: whatever went wrong, nobody waits for it for ever."""
        another = False
        try:
            another = self._did(claim, lease_seconds)
        finally:
            with self._turn:
                self._busy = False
                if another and not self._dismissed:
                    self._say("ready")
                else:
                    self._close()

    def _did(self, claim: Claim, lease_seconds: float) -> bool:
        """Whether the slot can do another one."""
        run_id, attempt = claim.run_id, claim.attempt
        work = Work(run_id, attempt, lease_seconds, self._environment, str(self.log), claim.memory)
        job = self._started(work)
        if job is not None:
            how = self._ended(job, work)
            state = self._told(lambda: self._book.state(run_id, attempt))
            if state is None:  # without a word: the worker will say that it is lost
                self._say(f"ended {how}")
                return False
            self._say(f"done {run_id} {state}")
        self._wish = None if self._wish == signal.SIGTERM else self._wish
        return not self._wish

    def _started(self, work: Work) -> Job | None:
        """The job; None where the cluster does not take it, whose run goes back unharmed."""
        try:
            job = self._start(work)
        except Exception as problem:  # whatever the cluster's library raises
            why = self._note(problem)
            reason = f"no job could be started for it: {why}"
            state = self._told(lambda: self._book.give_back(work.run_id, work.attempt, reason))
            self._say(f"unstarted {state or 'refused'} {why}")
            return None
        self._say("started")
        return job

    def _ended(self, job: Job, work: Work) -> str:
        """How the job ended, in the cluster's words where it has some; the status is the slot's."""
        try:
            self._status = self._watch(job, work)
            return job.told()
        except (
            Exception
        ) as problem:  # nobody watches it any more: it must not work on beside the next attempt
            with contextlib.suppress(Exception):
                job.stop(hard=True)
            self._status = 1
            return f"its job could not be watched: {self._note(problem)}"

    def _watch(self, job: Job, work: Work) -> int:
        """The job's status once it is over; a job whose run is over is not waited for long."""
        heeded: int | None = None
        over_at: float | None = None
        asked = 0.0
        while (status := job.poll()) is None:
            now = time.monotonic()
            if self._wish is not None and self._wish != heeded:
                heeded = self._wish if self._stopped(job, self._wish) else heeded
            if over_at is None and now - asked > min(ASK_SECONDS, work.lease_seconds / 4):
                asked = now
                with contextlib.suppress(*REFUSALS):
                    held = self._book.keep(work.run_id, work.attempt, work.lease_seconds)
                    over_at = None if held else now
            if over_at is not None and now - over_at > GRACE_SECONDS:
                job.stop(hard=True)
                return 0
            time.sleep(POLL_SECONDS)
        return status

    def _stopped(self, job: Job, wish: int) -> bool:
        """Whether the job could be told: one that waits for its machine cannot, nor one of a cluster that is away."""
        try:
            job.stop(hard=wish == signal.SIGKILL)
        except Exception as problem:  # it is asked again
            self._note(problem)
            return False
        return True

    def _told(self, ask: Callable[[], T]) -> T | None:
        """What the database says, once it says something."""
        while True:
            try:
                return ask()
            except REFUSALS:
                if self._wish == signal.SIGKILL:
                    return None  # the lease will see to it
                time.sleep(POLL_SECONDS)

    def _note(self, problem: Exception) -> str:
        """The problem in one line, which the log has too, once in a row."""
        line = " ".join(f"{type(problem).__name__}: {problem}".split())[:LONGEST]
        if line != self._noted:
            self._noted = line
            with contextlib.suppress(OSError):
                self.log.parent.mkdir(parents=True, exist_ok=True)
                with open(self.log, "a", encoding="utf-8") as log:
                    log.write(f"{line}\n")
        return line

    def _say(self, line: str) -> None:
        with self._turn, contextlib.suppress(OSError):
            os.write(self._says, f"{line}\n".encode())

    def _close(self) -> None:
        with self._turn:
            if self._says >= 0:
                os.close(self._says)
                self._says = -1
