"""What passes between the one who asks for a run and the one who does it: request, sink, outcome.

No torch here: the worker's side imports this module too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

# A parameter of an attack's run and not of the attack: the attacked model is kept like any other.
KEEP_ENDPOINT = "keep_endpoint"


@dataclass(frozen=True)
class Measured:
    """One measurement; `items` holds the value of every item where the metric has one."""

    metric: str
    split: str
    value: float | None
    step: int = 0
    category: str = ""
    standard_error: float | None = None
    count: int | None = None
    items: np.ndarray | None = None


@dataclass(frozen=True)
class Answered:
    """One question and what the model answered, as text."""

    split: str
    step: int
    item: int
    category: str
    question: str
    expected: str
    answer: str
    correct: bool | None


class Sink(Protocol):
    """Where a run reports while it works; every call is cheap and may be buffered."""

    def progress(self, step: int, steps: int, message: str = "") -> None:
        """Say how far the run is."""

    def record(self, rows: Sequence[Measured]) -> None:
        """Hand over measurements."""

    def samples(self, rows: Sequence[Answered]) -> None:
        """Hand over questions and answers."""

    def flush(self) -> None:
        """Return only when everything handed over so far is stored for good."""

    def cancelled(self) -> bool:
        """True once the run shall stop: somebody cancelled it, or its lease is lost."""
        ...


@dataclass(frozen=True)
class Owner:
    """Whose states a run goes on from: those of this run (0: of any), written in or after the attempt `since`."""

    run: int = 0
    attempt: int = 0  # the one at work, which is written into its states
    since: int = 0

    def takes(self, header: Mapping[str, Any]) -> bool:
        """Whether a state with this header is one of them; one of an older version tells nothing, and is of the first attempt."""
        run, attempt = header.get("run", self.run), header.get("attempt", 1)
        return not self.run or (run == self.run and attempt >= self.since)


@dataclass(frozen=True)
class StageRequest:
    """All that a run needs to know; made from its row, free of the database."""

    stage: str
    name: str
    parameters: dict[str, Any]
    setting: dict[str, Any]  # {"name", "parameters", "content_hash"}
    seed: int
    precision: str
    fingerprint: str
    home: Path  # the data directory; checkpoints lie in home/checkpoints/FINGERPRINT
    parent: str | None = None  # fingerprint of the primary input
    parent_stage: str | None = None
    inputs: dict[str, list[str]] = field(default_factory=dict)  # role → fingerprints
    fresh: bool = False  # ignore any resume state
    owner: Owner = Owner()


@dataclass(frozen=True)
class WrittenFile:
    """A finished file under the data directory, its path relative to it."""

    kind: str
    path: str
    bytes: int
    sha256: str


@dataclass
class StageOutcome:
    """The ledger of a finished run."""

    steps: int = 0
    tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    peak_memory: int = 0  # bytes, of the process (CPU) or of the device
    note: str = ""
    chosen: dict[str, Any] | None = None
    files: list[WrittenFile] = field(default_factory=list)


def inapplicable(name: str, reason: object) -> str:
    """The line of a run's note that says that a part of that name does not apply, and why."""
    return f"{_NOT_APPLICABLE}{name}: {reason}"


def reasons_in(note: str | None) -> dict[str, str]:
    """The reasons by name that such lines of a note give."""
    lines = [
        line.removeprefix(_NOT_APPLICABLE)
        for line in (note or "").splitlines()
        if line.startswith(_NOT_APPLICABLE)
    ]
    return {name: reason for name, _, reason in (line.partition(": ") for line in lines)}


_NOT_APPLICABLE = "n/a "


class Cancelled(Exception):
    """Raised inside a run that was told to stop."""


class RunFailed(Exception):
    """A run that cannot go on, with one sentence that says why (a NaN loss, a full disk)."""


class NotApplicable(Exception):
    """Raised by an attack or a metric that says nothing here, with the reason as a clause; no failure.

    The run completes, its note says n/a, and nothing is measured.
    """


class UserError(Exception):
    """A user's mistake: one sentence that names what was given and what is valid. Exit status 2."""


class NotFound(UserError):
    """What somebody names to look at, or to do something with, is not there: 404 in the REST interface."""
