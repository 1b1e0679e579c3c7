"""How much the training loop costs: steps per second against a bare torch loop and against transformers.Trainer.

All train the quick model on the same batches of the base's size with the same optimiser, one thread each, in turn,
several times; the ratio is that of the medians. Each has a process of its own, so that the Trainer can be measured as it
comes and with `backend.memory`, by which our own runs profit.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from backend.contests import trainer_arguments
from backend.context import RunContext
from backend.losses import cross_entropy
from backend.memory import keep_freed_memory
from backend.models import build, scored_logits
from backend.settings import build_task
from backend.stage import StageRequest
from backend.training import train

STEPS, ROUNDS, ROWS = 60, 5, 256


class Silent:
    """A sink that drops everything."""

    def progress(self, step: int, steps: int, message: str = "") -> None:
        """Drop it."""

    def record(self, rows: Any) -> None:
        """Drop it."""

    def samples(self, rows: Any) -> None:
        """Drop it."""

    def flush(self) -> None:
        """Nothing to do."""

    def cancelled(self) -> bool:
        """Never."""
        return False


def run() -> dict[str, float]:
    """Ratios of steps per second, larger is better; those of the Trainer are left out where accelerate is missing.

    `vs_bare` and `vs_trainer_with_our_memory` compare the loops alone; `vs_trainer` takes the Trainer as it comes.
    """
    contestants = {"ours": (_ours, True), "bare": (_bare, True)}
    if _has_trainer():
        contestants["trainer"] = (_trainer, False)
        contestants["trainer_with_our_memory"] = (_trainer, True)
    times: dict[str, list[float]] = {name: [] for name in contestants}
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(_process(memory)) for name, (_, memory) in contestants.items()
        }
        for turn in range(ROUNDS + 1):
            for name, (contestant, _) in contestants.items():
                seconds = processes[name].submit(_seconds, contestant).result()
                if turn:  # the first round warms up
                    times[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratios = {f"vs_{name}": medians[name] / medians["ours"] for name in medians if name != "ours"}
    return {"steps_per_second": STEPS / medians["ours"], **ratios}


def _process(memory: bool) -> ProcessPoolExecutor:
    """One process of its own, because what it keeps of freed memory holds for all that runs in it."""
    return ProcessPoolExecutor(1, get_context("spawn"), initializer=_begin, initargs=(memory,))


def _begin(memory: bool) -> None:
    torch.set_num_threads(1)
    if memory:
        keep_freed_memory()


def _seconds(contestant: Callable[[], None]) -> float:
    started = time.perf_counter()
    contestant()
    return time.perf_counter() - started


def _has_trainer() -> bool:
    from importlib.util import find_spec

    return find_spec("accelerate") is not None


def _context() -> RunContext:
    task = build_task("arithmetic", {})
    setting = {"name": "arithmetic", "parameters": {}, "content_hash": task.content_hash}
    home = Path(tempfile.gettempdir())
    request = StageRequest("base", "base", {}, setting, 0, "fp32", "benchmark", home, fresh=True)
    return RunContext(request, task, Silent(), torch.device("cpu"))


def _ours() -> None:
    run = _context()
    model = run.fresh_model()
    batches = run.batches(run.task.train["retain"], ROWS, "retain")

    def loss(k: int) -> Any:
        batch = batches(k)
        return cross_entropy(scored_logits(model, batch), batch.targets)

    train(model, loss, run, steps=STEPS, learning_rate=1e-3, weight_decay=0.1)


def _bare() -> None:
    """What one would write by hand: the same model, batches, clipping and fused AdamW, nothing else."""
    run = _context()
    model = build(run.task.model, 0)
    model.train()
    batches = run.batches(run.task.train["retain"], ROWS, "retain")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1, fused=True)
    for k in range(STEPS):
        batch = batches(k)
        logits = model(batch.input_ids, logits_to_keep=1).logits[:, -1]
        F.cross_entropy(logits, batch.targets).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()


def _trainer() -> None:
    from transformers import PrinterCallback, Trainer, TrainingArguments

    run = _context()
    examples = run.task.train["retain"]
    rows = []
    for ids, targets in zip(examples.input_ids, examples.targets, strict=True):
        whole = [*ids.tolist(), int(targets[-1])]
        rows.append({"input_ids": whole, "labels": [-100] * len(ids) + whole[-1:]})
    with tempfile.TemporaryDirectory() as folder:
        given = trainer_arguments(STEPS, ROWS, 1e-3)
        arguments = TrainingArguments(output_dir=folder, weight_decay=0.1, **given)
        trainer = Trainer(model=build(run.task.model, 0), args=arguments, train_dataset=rows)
        trainer.remove_callback(PrinterCallback)  # standard output is for the figures
        trainer.train()
