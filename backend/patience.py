"""Waiting out what passes by itself: a database that restarts or is locked, a full disk, a store that is away."""

import errno
import logging
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from db.session import DatabaseProblem

T = TypeVar("T")

SECONDS = 600.0  # somebody may have to be told, and to find what can go
PAUSES = (0.2, 5.0)  # the first and the longest
SQLITE = ("locked", "is full", "unable to open", "disk I/O")
FULL = (errno.ENOSPC, errno.EDQUOT)
LOG = logging.getLogger("lethe")
# What a database that refuses raises; the second where all our connections wait for one that does not answer.
REFUSALS = (DBAPIError, NoConnection)


class Away(Exception):
    """What was asked does not answer, and may in a moment."""


def patiently(action: Callable[[], T], seconds: float | None = None) -> T:
    """What the action gives, tried again for up to `seconds` (`SECONDS`) while what hinders it may pass.

    The action has to be one that may be done twice: a connection that breaks leaves open whether it was done.

    Raises:
        Exception: the action's own, where it will not pass, or has not in time
    """
    deadline = time.monotonic() + (SECONDS if seconds is None else seconds)
    pause, longest = PAUSES
    while True:
        try:
            return action()
        except Exception as problem:
            if not passes(problem) or time.monotonic() > deadline:
                raise
            LOG.warning("Waiting, because: %s", problem)
            time.sleep(pause)
            pause = min(2 * pause, longest)


def passes(problem: BaseException) -> bool:
    """Whether what went wrong may be over soon, without anybody changing the run."""
    if isinstance(problem, Away | NoConnection):
        return True
    if isinstance(problem, DatabaseProblem):
        return problem.__cause__ is not None and passes(problem.__cause__)
    if isinstance(problem, DBAPIError):
        if problem.connection_invalidated:
            return True
        of_file = type(problem.orig).__module__ == "sqlite3"
        known = not of_file or any(words in str(problem.orig) for words in SQLITE)
        return isinstance(problem, OperationalError) and known
    return is_full(problem)


def is_full(problem: BaseException) -> bool:
    """Whether a disk had no room left."""
    if isinstance(problem, OSError):
        return problem.errno in FULL
    if isinstance(problem, DBAPIError):
        return "is full" in str(problem.orig)
    # The checkpoints' library tells the system's error in words only.
    return type(problem).__name__ == "SafetensorError" and "No space left" in str(problem)
