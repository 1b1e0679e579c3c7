"""The supervisor: claims runs for the slots of this machine, watches them, and cleans up after crashes.

No torch here: it starts at once, stays small, and outlives whatever a run does to its process.
"""

import os
import selectors
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from backend import run_log
from backend.artifacts import checked
from backend.engines.choosing import Elsewhere, Here
from backend.engines.devices import Devices
from backend.engines.interface import AnySlot
from backend.engines.machine import Load, machine
from backend.herald import Herald, webhook
from backend.leases import Watch
from backend.patience import REFUSALS
from backend.placed import own
from backend.playground.attendant import Attendant, ending
from backend.stage import RunFailed
from backend.starting import Starts
from backend.timer import Timer
from backend.worker_log import WorkerLog
from db import reads, session, writes
from db.writes import Claim, NoRoom

SAMPLE_SECONDS = 20.0  # between two samples of what the machine is at
POLL_SECONDS = 0.5  # how often an idle worker looks for runs that others made ready
CANCEL_SECONDS = 15.0  # for a run to stop by itself
STOP_SECONDS = 20.0  # for all runs to stop by themselves when the worker stops
KILL_SECONDS = 2.0  # between asking a process and ending it
DEATHS_AT_START = 3


class WorkerProblem(RunFailed):
    """The worker cannot go on; the one sentence says why."""


@dataclass(frozen=True)
class Happened:
    """What a worker tells while it works.

    `kind` is started, claimed, complete, failed, cancelled, returned, refused, lost, asked, rested,
    ended (a study), problem, stopping or stopped.
    """

    kind: str
    text: str = ""
    run_id: int | None = None


@dataclass
class _Post:
    """A slot and what it is at: a claim while it works, `ready` while it waits for one."""

    slot: AnySlot
    claim: Claim | None = None
    ready: bool = False
    deadline: float | None = None  # when a run that was told to stop has to be gone
    asked: bool = False
    handed: int = 0  # what `Starts.handed` said
    how: str = ""  # how its job ended, as the cluster says it


def work(
    engine: Engine,
    *,
    slots: int | None = None,
    until_idle: bool = False,
    lease_seconds: float = 30.0,
    on_event: Callable[[Happened], None] | None = None,
    home: Path | None = None,
    place: Here | Elsewhere | None = None,
    study_id: int | None = None,
) -> bool:
    """Claim and do runs until told to stop, or until nothing is left to do; True if no run failed.

    Call it from the main thread, which then handles SIGINT and SIGTERM: runs go back to the queue
    with their state. A second signal ends their processes at once. After SIGINT, KeyboardInterrupt
    is raised once everything has stopped. Runs are done at `place`, by default on this machine; with `study_id` only
    that study's count: no others are claimed, waited for, or looked at for failures.

    Raises:
        WorkerProblem: slots die one after another before they can work
        UserError: models cannot be stored where LETHE_ARTIFACTS says
    """
    if store := checked():
        own(engine, store)
    place = place or Here(Devices())
    worker = _Worker(
        engine,
        slots or place.slots(),
        until_idle,
        lease_seconds,
        on_event or (lambda happened: None),
        home or session.home(),
        place,
        study_id,
    )
    with _signals(worker), closing(place):
        worker.run()
    if worker.signalled == signal.SIGINT:
        raise KeyboardInterrupt
    return not reads.failed_since(engine, worker.first_event, study_id)


@contextmanager
def _signals(worker: "_Worker") -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda caught, frame: worker.stop(caught))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Worker:
    def __init__(
        self,
        engine: Engine,
        slots: int,
        until_idle: bool,
        lease_seconds: float,
        tell: Callable[[Happened], None],
        home: Path,
        place: Here | Elsewhere,
        study_id: int | None,
    ):
        self.place, self.study_id = place, study_id
        self.engine, self.slots, self.until_idle = engine, slots, until_idle
        self.lease_seconds, self.home = lease_seconds, home
        self.host = socket.gethostname()
        self.id = f"{self.host[:40]}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._log, self._tell = WorkerLog(home, self.id), tell
        self.signalled: int | None = None
        self.stopping = False
        self.first_event = reads.last_event(engine)
        self._selector = selectors.DefaultSelector()
        self._posts: list[_Post] = []
        self._watch = Watch(lease_seconds)
        self._deaths, self._starts = 0, Starts()
        # Bytes that the next run needs and that are left, where that is too few.
        self._short: dict[str, int] | None = None
        self._hungry = True  # something happened that may have made a run ready
        self._poll = Timer(POLL_SECONDS)
        self._look = Timer(POLL_SECONDS)
        self._cancels = Timer(1.0)
        self._pulse = Timer(max(0.5, min(5.0, lease_seconds / 3)))
        self._load, self._sampling = Load(), Timer(SAMPLE_SECONDS)
        self._load()  # from here on
        self._prompts = Timer(POLL_SECONDS)
        self._attendant = Attendant(
            engine, home, lambda kind, text: self.tell(Happened(kind, text))
        )
        self._herald = Herald(engine, lambda kind, text: self.tell(Happened(kind, text)), webhook())

    def tell(self, happened: Happened) -> None:
        """Say what happened to whoever called, and to the worker's log."""
        self._log(happened.kind, happened.text, happened.run_id)
        self._tell(happened)

    def stop(self, caught: int | None = None) -> None:
        """Stop at the next opportunity; asked twice, at once."""
        if self.stopping:
            for post in self._posts:
                post.deadline = time.monotonic()
        self.signalled = self.signalled or caught
        self.stopping = True

    def run(self) -> None:
        """Work until there is nothing left to do, or until stopped."""
        here = (self.host, os.getpid(), self.slots, self.place.name)
        writes.register_worker(self.engine, self.id, *here)
        self.tell(Happened("started", f"{self.slots} slots"))
        try:
            while not self.stopping and not self._finished():
                self._staff()
                self._listen(0.25)
                self._patiently(self._chores)
                self._patiently(self._feed)
            self._wind_down()
        finally:
            self.stopping = True
            self._patiently(self._attendant.stop)
            for post in self._posts:
                post.slot.signal(signal.SIGKILL)
            for post in list(self._posts):
                self._ended(post)
            self._patiently(self._herald.close)
            self._patiently(lambda: writes.stop_worker(self.engine, self.id))
            self._selector.close()
            self.tell(Happened("stopped"))
            self._log.close()

    def _finished(self) -> bool:
        if not self.until_idle or any(post.claim for post in self._posts) or not self._look():
            return False
        self._hungry = True
        idle: list[bool] = []
        self._patiently(lambda: idle.append(self._idle()))
        return any(idle)

    def _idle(self) -> bool:
        paused = reads.paused(self.engine)
        if reads.prompts_open(self.engine):
            return False
        return reads.idle(self.engine, not paused, self.study_id)

    def _staff(self) -> None:
        """As many slots as wanted; one that ended is replaced."""
        for number in range(self.slots):
            if all(post.slot.number != number for post in self._posts):
                log = self.home / "logs" / f"{self.id}-{number}.log"
                post = _Post(self.place.slot(number, self.home, self.engine, log))
                self._posts.append(post)
                self._selector.register(post.slot, selectors.EVENT_READ, post)

    def _listen(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            post: _Post = key.data
            lines = post.slot.hear()
            if lines is None:
                self._ended(post)
            for line in lines or ():
                self._heard(post, line)

    def _heard(self, post: _Post, words: list[str]) -> None:
        self._hungry = True
        if words == ["ready"]:
            post.ready, post.slot.ever_ready, self._deaths = True, True, 0
        elif len(words) == 3 and words[0] == "done" and post.claim:
            self.tell(Happened(words[2], run_id=post.claim.run_id))
            self._herald.run_ended(post.claim.run_id)
            post.claim, post.deadline, post.asked = None, None, False
        elif words == ["started"]:
            self._starts.worked()
        elif len(words) > 1 and words[0] == "unstarted" and post.claim:
            self._unstarted(post, words[1], " ".join(words[2:]))
        elif words[:1] == ["ended"]:
            post.how = " ".join(words[1:])

    def _unstarted(self, post: _Post, state: str, why: str) -> None:
        """A cluster took no job: the run is none the worse, and another try waits. Jobs that are under way are left alone."""
        assert post.claim is not None
        self._starts.refused(post.handed)
        self.tell(Happened(state, run_id=post.claim.run_id))
        self._herald.run_ended(post.claim.run_id)
        post.claim, post.deadline, post.asked = None, None, False
        if (
            self._starts.hopeless
            and not self.stopping
            and not any(other.claim for other in self._posts)
        ):
            raise WorkerProblem(f"No job could be started {self._starts.failed} times in a row, the last time because of {why}")  # fmt: skip
        self.tell(Happened("problem", f"No job could be started, because of {why}; the next try is in {self._starts.pause:.0f} s."))  # fmt: skip

    def _ended(self, post: _Post) -> None:
        """A slot's process is gone, in order or not: its run, if it had one, is lost at once."""
        self._hungry = True
        self._selector.unregister(post.slot)
        self._posts.remove(post)
        status = post.slot.bury()
        if post.claim:
            self._lose(post.claim, post.how or _how_it_ended(status))
        if post.slot.ever_ready or self.stopping:
            return
        self._deaths += 1
        if self._deaths >= DEATHS_AT_START:
            raise WorkerProblem(
                f"{self._deaths} slots in a row ended before they could work, the last with:"
                f" {post.slot.last_words() or _how_it_ended(status)}"
            )

    def _lose(self, claim: Claim, reason: str) -> None:
        """Back to the queue with it; where the database refuses, the lease will see to that."""
        told: list[str | None] = []  # None: it has ended, its process only had no time to say so

        def write() -> None:
            run = (self.engine, claim.run_id, claim.attempt)
            lost = "lost" if not self.stopping and writes.lose(*run, reason) else None
            told.append(writes.hand_back(*run) if self.stopping else lost)

        if not self._patiently(write):
            return
        if how := told[-1]:
            self._patiently(lambda: self._log_loss(claim, how, reason))
            self.tell(Happened(how, reason, claim.run_id))
        # It may have ended: after its last attempt, by a cancel, or written by the process before it went.
        self._herald.run_ended(claim.run_id)

    def _log_loss(self, claim: Claim, how: str, reason: str) -> None:
        """The run's own log ends with the words of who saw its process end."""
        run = reads.run(self.engine, claim.run_id)
        if run is not None:
            run_log.add_line(self.home, run["fingerprint"], claim.attempt, how, reason)
            run_log.keep_tail(self.engine, self.home, claim.run_id, run["fingerprint"], claim.attempt)  # fmt: skip

    def _feed(self) -> None:
        """A run for every slot that waits for one, as long as there are ready runs."""
        waiting = [post for post in self._posts if post.ready and not post.claim]
        if not waiting or not (self._hungry or self._poll()) or not self._starts.open:
            return
        self._hungry = False
        self._short = None
        for post in waiting:
            held = {other.slot.number: other.claim.memory for other in self._posts if other.claim}
            room = self.place.room(post.slot.number, held)
            found = writes.claim(self.engine, self.id, self.lease_seconds, self.study_id, room)
            if found is None:
                return
            if isinstance(found, NoRoom):  # a slot of another GPU may have more
                self._short = {"needs": found.need, "left": max(0, room or 0)}
                continue
            post.claim, post.ready, self._short = found, False, None
            post.handed = self._starts.handed()
            post.slot.send(found, self.lease_seconds)
            self.tell(Happened("claimed", f"attempt {found.attempt}", found.run_id))
            if not self._starts.open:
                return

    def _chores(self) -> None:
        if self._pulse():
            told = machine(self._load, self.home) | {"next_run": self._short}
            if writes.beat_worker(self.engine, self.id, told) == "stopping":
                self.stop()
            over = self._watch.over(writes.leases(self.engine))
            for run_id in writes.reap(self.engine, over):
                self._hungry = True
                self._herald.run_ended(run_id)
            writes.reap_prompts(self.engine)
            self._herald.look()
            if self._sampling():
                writes.sample_machine(self.engine, self.host, told)
                writes.tidy_samples(self.engine)
                for run_id in writes.reblock(self.engine):
                    self._herald.run_ended(run_id)  # its study may have nothing left to do
        if self._prompts():
            self._attendant.look()
        if self._cancels() and any(post.claim for post in self._posts):
            self._see_to_cancels(reads.cancel_requests(self.engine, self.id))

    def _see_to_cancels(self, unwanted: set[int]) -> None:
        """A run that does not stop by itself in time loses its process, and thereby ends cancelled."""
        for post in self._posts:
            if post.claim and post.claim.run_id in unwanted and post.deadline is None:
                post.deadline = time.monotonic() + CANCEL_SECONDS
            self._press(post)

    def _press(self, post: _Post) -> None:
        if post.deadline is None or time.monotonic() < post.deadline:
            return
        post.slot.signal(signal.SIGKILL if post.asked else signal.SIGTERM)
        post.asked, post.deadline = True, time.monotonic() + KILL_SECONDS

    def _wind_down(self) -> None:
        """Let the slots end: idle ones at once, working ones after handing their runs back."""
        self.stopping = True
        working = [post for post in self._posts if post.claim]
        if working:
            self.tell(Happened("stopping", f"{len(working)} runs go back to the queue"))
        for post in self._posts:
            post.slot.dismiss()
            post.slot.signal(signal.SIGTERM)
            post.asked, post.deadline = True, time.monotonic() + STOP_SECONDS
        while self._posts:
            self._listen(0.1)
            for post in self._posts:
                self._press(post)

    def _patiently(self, action: Callable[[], object]) -> bool:
        """Do it; a database that is locked or full for a while is told and waited for, not fatal."""
        try:
            action()
        except REFUSALS as problem:
            self.tell(Happened("problem", f"The database refused: {getattr(problem, 'orig', problem)}."))  # fmt: skip
            self._hungry = True
            self._watch.forget()
            time.sleep(POLL_SECONDS)
            return False
        return True


def _how_it_ended(status: int) -> str:
    return f"its process {ending(status)}"
