"""What happens to a run while it is at work: at a report of its own, so that no machine is too fast or too slow for it."""

from collections.abc import Callable

import pytest

from backend.sink import DatabaseSink
from tests.in_browser import wait_for


def midway(patch: pytest.MonkeyPatch, do: Callable[[], object], after: int = 10, heard: bool = True) -> None:  # fmt: skip
    """Do something once, when a training of this process has reported so many further steps.

    The training waits for it, and, where it shall be `heard`, until the run knows that it shall stop.
    """
    report = DatabaseSink.progress
    left = [after]

    def progress(sink: DatabaseSink, step: int, steps: int, message: str = "") -> None:
        report(sink, step, steps, message)
        if step == 0 or left[0] == 0:
            return
        left[0] -= 1
        if left[0] == 0:
            do()
            wait_for(lambda: not heard or sink.cancelled(), 300)

    patch.setattr(DatabaseSink, "progress", progress)
