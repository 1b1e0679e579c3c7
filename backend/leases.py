"""Which runs have nobody at work on them any more, as one worker sees it.

A lease is a moment on somebody's clock. Clocks are set, machines sleep, and a database that was away has taken no sign
of life from anybody; then every lease seems to be over while all runs are well. So a run is dead only once its lease
has not been renewed while this worker was watching, by a clock that nobody sets.
"""

import time
from collections.abc import Callable, Iterable

from db.writes import Lease

LONGEST = 600.0  # seconds


class Watch:
    """What a worker has seen of all leases; `seconds` is how long its own are.

    What a clock says counts for `LONGEST` at most, and again at every look: one that was wrong at the first, as before a
    machine has heard the time, lets nobody wait for hours. Whoever lives renews within seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic):
        self.seconds, self._clock = seconds, clock
        self._due: dict[tuple[object, ...], float] = {}

    def forget(self) -> None:
        """Begin anew: for a while nobody could renew anything."""
        self._due = {}

    def over(self, leases: Iterable[Lease]) -> list[Lease]:
        """Those that ended without a sign of life; `leases` are all that there are now."""
        now, before, dead = self._clock(), self._due, []
        self._due = {}
        for lease in leases:
            key = (lease.run_id, lease.attempt, lease.until)
            ahead = min(lease.seconds, max(LONGEST, self.seconds))
            if key in before:
                due = min(before[key], now + max(ahead, self.seconds))
            else:  # one that seems to be over already gets half of ours: its owner renews it in seconds, if it lives
                due = now + max(ahead, self.seconds / 2)
            self._due[key] = due
            if due <= now:
                dead.append(lease)
        return dead
