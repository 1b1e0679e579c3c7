"""The time after which a cluster takes a run's machine away, as the run's own process knows it."""

import os
from dataclasses import dataclass

ENVIRONMENT = "LETHE_TIME_LIMIT"
EARLY = (
    75.0  # seconds: Slurm may warn a minute before it should, and the process took some to start
)


@dataclass(frozen=True)
class TimeLimit:
    """Minutes that a run has, and how many seconds before their end it is told to stop."""

    minutes: int
    warning_seconds: int

    def told(self) -> dict[str, str]:
        """The variable of the environment that tells a run's process of it."""
        return {ENVIRONMENT: f"{self.minutes} {self.warning_seconds}"}

    def ended(self, seconds: float) -> bool:
        """Whether a run that was told to stop after so many seconds was told so because of this limit."""
        warned = max(0.0, self.minutes * 60.0 - self.warning_seconds)
        return seconds >= max(warned - EARLY, warned / 2)

    def reason(self, kept: tuple[int, int] | None) -> str:
        """Why the run returns: the same words twice mean that it came no further. `kept` is the training and step of its state."""
        where = f"at step {kept[1]} of its training {kept[0] + 1}" if kept else "before it kept a state to go on from"  # fmt: skip
        return f"its time limit of {self.minutes} minutes came {where}"

    def sentence(self, kept: tuple[int, int] | None) -> str:
        """What is said of a run that came no further twice."""
        what = f"came no further than step {kept[1]}" if kept else "keeps no state to go on from"
        return f"It was stopped twice by its time limit of {self.minutes} minutes and {what}: start the worker with more by --engine-option minutes=N, then retry it."  # fmt: skip


def given() -> TimeLimit | None:
    """The limit of this process; None where the engine that started it has told of none."""
    words = os.environ.get(ENVIRONMENT, "").split()
    return TimeLimit(int(words[0]), int(words[1])) if words else None
