"""Where a run reports: a buffer that a thread empties into the database while it renews the lease."""

import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine

from backend.patience import REFUSALS, patiently
from backend.stage import Answered, Cancelled, Measured
from db import writes

FLUSH_SECONDS = 1.0


class DatabaseSink:
    """The sink of one attempt. Use it as a context: the thread lives as long as the run works.

    `cancel_requested`, `lost` and `stopping` say why the run shall stop.
    """

    def __init__(
        self,
        engine: Engine,
        run_id: int,
        attempt: int,
        lease_seconds: float,
        stopping: threading.Event,
    ):
        self.engine, self.run_id, self.attempt = engine, run_id, attempt
        self.lease_seconds, self.stopping = lease_seconds, stopping
        self.cancel_requested, self.lost = False, False
        self._rows: list[Measured] = []
        self._answers: list[Answered] = []
        self._progress: tuple[int | None, int | None, str] = (None, None, "")
        self._buffer = threading.Lock()  # held for moments only: reports never wait for the disk
        self._storing = threading.Lock()
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "DatabaseSink":
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._finished.set()
        self._thread.join()

    def progress(self, step: int, steps: int, message: str = "") -> None:
        """Say how far the run is."""
        self._progress = (step, steps, message)

    def record(self, rows: Sequence[Measured]) -> None:
        """Hand over measurements."""
        with self._buffer:
            self._rows += rows

    def samples(self, rows: Sequence[Answered]) -> None:
        """Hand over questions and answers."""
        with self._buffer:
            self._answers += rows

    def cancelled(self) -> bool:
        """True once the run shall stop."""
        return self.cancel_requested or self.lost or self.stopping.is_set()

    def flush(self) -> None:
        """Return only when everything handed over so far is stored; a database that is away for a while is waited for.

        Raises:
            Exception: the database's, where it does not come back or refuses for good
            Cancelled: another attempt holds the run by now, so nothing more may be written
        """
        patiently(
            self.flush_now
        )  # without the lock between two tries, so that the lease is renewed in time

    def flush_now(self) -> None:
        """The same, tried once."""
        with self._storing:
            with self._buffer:
                rows, answers = self._rows, self._answers
                self._rows, self._answers = [], []
            try:
                self._store(rows, answers)
            except BaseException:
                with self._buffer:  # for the next attempt to store them, in their order
                    self._rows, self._answers = rows + self._rows, answers + self._answers
                raise
        if self.lost:
            raise Cancelled

    def _store(self, rows: list[Measured], answers: list[Answered]) -> None:
        if self.lost or not (rows or answers):
            return
        kept = writes.record(
            self.engine,
            self.run_id,
            self.attempt,
            [_measurement(row) for row in rows],
            [_values(row) for row in rows if row.items is not None],
            [asdict(answer) for answer in answers],
        )
        self.lost = not kept

    def _beat(self) -> None:
        pause = min(FLUSH_SECONDS, self.lease_seconds / 4)
        while not self._finished.wait(pause):
            try:
                self.flush_now()
                wish = writes.heartbeat(
                    self.engine, self.run_id, self.attempt, self.lease_seconds, *self._progress
                )
            except Cancelled:
                return
            except REFUSALS:
                time.sleep(pause)  # locked or full: the rows are kept, and the lease decides
                continue
            self.cancel_requested |= wish == "cancel"
            self.lost |= wish == "lost"


def _measurement(row: Measured) -> dict[str, Any]:
    count = row.count if row.count is not None or row.items is None else len(row.items)
    return {
        "metric": row.metric,
        "split": row.split,
        "category": row.category,
        "step": row.step,
        "value": None if row.value is None else float(row.value),
        "standard_error": None if row.standard_error is None else float(row.standard_error),
        "items": count,
    }


def _values(row: Measured) -> dict[str, Any]:
    return {"metric": row.metric, "split": row.split, "step": row.step, "values": row.items}
