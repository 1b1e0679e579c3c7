"""Contestants at the same work, each in a process of its own, in turn and several times: seconds a step and peak memory."""

import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

import torch

from backend.memory import forget_peak, keep_freed_memory, peak_memory


@dataclass
class Stopwatch:
    """What a contestant tells of its steps: `ready` once all is loaded, `step` before each, `done` after the last.

    Seconds are the processor's, so that they do not depend on what else the machine does meanwhile.
    """

    marks: list[float] = field(default_factory=list)
    before: int = 0
    peak: int = 0

    def ready(self) -> None:
        """Everything is loaded: what the process takes from here on is the work's."""
        self.before = forget_peak()

    def step(self) -> None:
        """A step begins."""
        self.marks.append(time.process_time())

    def done(self) -> None:
        """The last step is over."""
        self.marks.append(time.process_time())
        self.peak = peak_memory() - self.before

    @property
    def seconds(self) -> float:
        """Median seconds of a step; the first one warms up."""
        spans = [b - a for a, b in zip(self.marks, self.marks[1:], strict=False)]
        return statistics.median(spans[1:] or spans)


Contestant = Callable[[Stopwatch], None]


@dataclass(frozen=True)
class Result:
    """Median seconds a step over the rounds, and the bytes that the first round's steps took at their peak."""

    seconds: float
    peak: int


def compare(
    contestants: Mapping[str, tuple[Contestant, bool]], rounds: int = 3
) -> dict[str, Result]:
    """Let contestants work in turn, one thread each; with each, whether its process keeps freed memory as our runs do."""
    told: dict[str, list[tuple[float, int]]] = {name: [] for name in contestants}
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(
                ProcessPoolExecutor(1, get_context("spawn"), initializer=_begin, initargs=(ours,))
            )
            for name, (_, ours) in contestants.items()
        }
        for _ in range(rounds):
            for name, (contestant, _) in contestants.items():
                told[name].append(processes[name].submit(_measured, contestant).result())
    return {
        name: Result(statistics.median(seconds for seconds, _ in found), found[0][1])
        for name, found in told.items()
    }


def _begin(keeps_memory: bool) -> None:
    torch.set_num_threads(1)
    if keeps_memory:
        keep_freed_memory()


def _measured(contestant: Contestant) -> tuple[float, int]:
    watch = Stopwatch()
    contestant(watch)
    return watch.seconds, watch.peak


def trainer_arguments(steps: int, rows: int, learning_rate: float) -> dict[str, Any]:
    """What a Trainer of transformers or trl is given so that it does our loop's work: nothing logged, nothing saved."""
    return {
        "max_steps": steps,
        "per_device_train_batch_size": rows,
        "learning_rate": learning_rate,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        "optim": "adamw_torch_fused",
        "logging_strategy": "no",
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }


class Silent:
    """A sink that drops everything."""

    def progress(self, *_: Any) -> None:
        """Drop it."""

    def record(self, *_: Any) -> None:
        """Drop it."""

    def samples(self, *_: Any) -> None:
        """Drop it."""

    def flush(self) -> None:
        """Nothing to do."""

    def cancelled(self) -> bool:
        """Never."""
        return False
