"""How often somebody may ask: a bucket of tokens for each, in this process."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

MOST = 10_000  # who is remembered; the ones that asked longest ago are forgotten


@dataclass
class Buckets:
    """`burst` requests at once, then `rate` a second."""

    burst: float
    rate: float
    clock: Callable[[], float] = time.monotonic
    _held: dict[str, tuple[float, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, who: str) -> float:
        """Take one; 0, or the seconds after which there is one again."""
        with self._lock:
            at = self.clock()
            left, before = self._held.pop(who, (self.burst, at))
            left = min(self.burst, left + (at - before) * self.rate)
            taken = left >= 1
            self._held[who] = (left - 1 if taken else left, at)
            if len(self._held) > MOST:
                del self._held[next(iter(self._held))]
            return 0.0 if taken else (1 - left) / self.rate
