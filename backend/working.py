"""Working the queue off, and saying on the way what happens."""

import sys
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine

from backend.patience import REFUSALS
from backend.worker import WorkerProblem, work
from db import reads
from db.session import require_database


def work_off(
    slots: int | None,
    until_idle: bool,
    lease: float,
    tell: Callable[[Any], None],
    place: Any = None,
) -> int:
    """Work the queue off on this machine, or at another place of `backend.engines`: 0, or 1 where a run failed."""
    try:
        fine = work(
            require_database(),
            slots=slots,
            until_idle=until_idle,
            lease_seconds=lease,
            on_event=tell,
            place=place,
        )
    except WorkerProblem as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0 if fine else 1


class Progress:
    """One line on standard error for every run that ends: how many are done, how long it will take."""

    def __init__(self, engine: Engine, study_id: int | None = None):
        """Of all runs, or of one study's."""
        self.engine, self.study_id, self.started, self.done = engine, study_id, time.monotonic(), 0

    def tell(self, happened: Any) -> None:
        """Say what happened to a run; where the database does not answer, without what only it knows."""
        if happened.kind in ("claimed", "refused"):
            return
        self.done += happened.kind == "complete"
        try:
            line = self._line(happened)
        except REFUSALS:
            of_run = "" if happened.run_id is None else f"run {happened.run_id} "
            line = f"{happened.kind:9} {of_run}{happened.text}"
        print(line.rstrip(), file=sys.stderr, flush=True)

    def _line(self, happened: Any) -> str:
        if happened.run_id is None:
            return f"{happened.kind} {happened.text}"
        run = reads.run(self.engine, happened.run_id) or {}
        line = f"{happened.kind:9} {run.get('stage', ''):9} {run.get('name', ''):10}"
        line += f" seed {run.get('seed', '')}  {run.get('error') or ''}"
        return f"{self._how_far()}  {line}" if happened.kind == "complete" else line

    def _how_far(self) -> str:
        left = self._left()
        spent = time.monotonic() - self.started
        rest = spent / self.done * left
        return f"[{self.done}/{self.done + left}] {spent:4.0f} s, about {rest:.0f} s left"

    def _left(self) -> int:
        if self.study_id is not None:
            return len(reads.unfinished(self.engine, self.study_id))
        counts = reads.counts(self.engine)
        return counts.get("waiting", 0) - counts.get("blocked", 0) + counts.get("running", 0)
