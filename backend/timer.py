"""When it is time for something again."""

import time
from dataclasses import dataclass, field


@dataclass
class Timer:
    """True once in every period, the first time at once."""

    seconds: float
    due: float = field(default_factory=time.monotonic)

    def __call__(self) -> bool:
        """Whether it is time; if so, the next period begins."""
        if time.monotonic() < self.due:
            return False
        self.due = time.monotonic() + self.seconds
        return True
