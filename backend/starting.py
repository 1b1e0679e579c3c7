"""Jobs that a cluster does not take: tried again after a while, one at a time, and given up after so many in a row."""

import time
from collections.abc import Callable

PAUSES = (2.0, 60.0)  # the first and the longest
MOST = 8  # in a row: three minutes, in which a controller restarts


class Starts:
    """How a worker's jobs have started of late."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self.failed, self._open_at, self._clock = 0, 0.0, clock

    @property
    def pause(self) -> float:
        """Seconds until the next try."""
        first, longest = PAUSES
        return min(longest, first * 2.0 ** max(0, self.failed - 1))

    @property
    def open(self) -> bool:
        """Whether a run may be handed over now."""
        return self._clock() >= self._open_at

    def handed(self) -> int:
        """Note that a run is handed over; what `refused` wants to know. After a refusal the next one has to wait."""
        if self.failed:
            self._open_at = self._clock() + self.pause
        return self.failed

    def worked(self) -> None:
        """Note that a job was taken."""
        self.failed, self._open_at = 0, 0.0

    def refused(self, handed: int) -> None:
        """Note that a job was not taken; several that were handed over together count as one."""
        if handed == self.failed:
            self.failed += 1
            self._open_at = self._clock() + self.pause

    @property
    def hopeless(self) -> bool:
        """Whether that happened too often in a row."""
        return self.failed >= MOST
