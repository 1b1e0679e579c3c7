"""The process that answers: beside the slots of the runs, for as long as somebody asks, and gone when nobody does."""

import gc
import os
import signal
import socket
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from backend.child import explained, own_standard_output, ready_recipe
from backend.patience import REFUSALS
from db import reads, session, writes
from db.writes import PromptClaim

LOOK_SECONDS = 0.2  # between two looks for a request; a person waits
LEASE_SECONDS = 15.0
NOTHING_SECONDS = 20.0  # without a first request: another server was faster


class Unwanted(Exception):
    """Nobody wants these answers any more, or another process answers by now."""


class Stopping(Exception):
    """This process was told to stop; the request goes back."""


class Held:
    """A claimed request: a thread renews its lease while the models answer."""

    def __init__(self, engine: Engine, claim: PromptClaim, lease: float, stop: threading.Event):
        self.engine, self.claim, self.lease, self.stop = engine, claim, lease, stop
        self.lost = False
        self._state: tuple[int, int, str] = (0, 0, "")
        self._over = threading.Event()
        self._news = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Held":
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._over.set()
        self._news.set()
        self._thread.join()

    def report(self, done: int, total: int, message: str) -> None:
        """Say how far it is.

        Raises:
            Unwanted: somebody cancelled it, or the lease was lost
            Stopping: this process was told to stop
        """
        self._state = (done, total, message)
        self._news.set()
        if self.stop.is_set():
            raise Stopping
        if self.lost:
            raise Unwanted

    def _beat(self) -> None:
        while not self._over.is_set():
            self._news.wait(self.lease / 4)
            self._news.clear()
            if self._over.is_set():
                return
            try:
                held = writes.beat_prompt(
                    self.engine, self.claim.id, self.claim.attempt, self.lease, *self._state
                )
            except REFUSALS:
                held = True  # locked or full for a while: the lease decides
            self.lost |= not held
            self._over.wait(0.25)  # news of a moment are told together


def serve(
    server_id: str, idle_seconds: float, engine: Engine | None = None, home: Path | None = None
) -> int:
    """Answer requests until none has come for so long; then this process ends, and its models leave memory."""
    own_standard_output()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the worker's to handle
    ready_recipe()
    from backend.playground.kept_models import KeptModels

    engine = engine or session.require_database()
    kept = KeptModels(engine, home or session.home())
    last, patience = time.monotonic(), min(NOTHING_SECONDS, idle_seconds)
    while not stop.is_set() and time.monotonic() - last < patience:
        claim = _next(engine, server_id)
        if claim is None:
            stop.wait(LOOK_SECONDS)
            continue
        answer(engine, kept, claim, stop)
        gc.collect()
        last, patience = time.monotonic(), idle_seconds
    return 0


def _next(engine: Engine, server_id: str) -> PromptClaim | None:
    """A request that waits; a look that takes no lock comes first."""
    try:
        if reads.prompts_waiting(engine):
            return writes.claim_prompt(engine, server_id, LEASE_SECONDS)
    except REFUSALS:
        time.sleep(LOOK_SECONDS)
    return None


def answer(
    engine: Engine,
    kept: Any,
    claim: PromptClaim,
    stop: threading.Event | None = None,
    lease: float = LEASE_SECONDS,
) -> str:
    """Answer a claimed request and write its end; says `complete`, `failed`, `returned` or `unwanted`."""
    from backend.playground.answered import answered

    stop = stop or threading.Event()
    try:
        with Held(engine, claim, lease, stop) as held:
            document = answered(engine, kept, claim.asked, held.report)
        done = writes.answer_prompt(engine, claim.id, claim.attempt, document)
        return "complete" if done else "unwanted"
    except Unwanted:
        return "unwanted"
    except Stopping:
        writes.return_prompt(engine, claim.id, claim.attempt)
        return "returned"
    except Exception as problem:
        sentence = _sentence(problem, kept)
        done = writes.fail_prompt(engine, claim.id, claim.attempt, sentence)
        return "failed" if done else "unwanted"


def _sentence(problem: Exception, kept: Any) -> str:
    """What went wrong; memory that ran out is given back first."""
    from backend.stage import UserError

    if isinstance(problem, UserError):
        return str(problem)
    sentence, _ = explained(problem)
    if sentence.startswith("Out of memory"):
        kept.clear()
        return "Out of memory: ask fewer models at once, or for fewer tokens or items."
    return sentence


def new_name() -> str:
    """A name for a server that nobody else has."""
    return f"{socket.gethostname()[:40]}-{os.getpid()}-prompts-{uuid.uuid4().hex[:6]}"
