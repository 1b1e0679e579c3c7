"""Whole suppressions by NPO and GradDiff on the quick model against the same losses in a subclass of transformers.Trainer.

The same batches, optimiser, clipping and float32, one thread each, in processes of their own, in turn. Ours are the methods
as a study runs them: NPO's pass over the incoming model, the looks at utility and the cosines of gradients along the way
count. `alone` they look once, which is more like the Trainer's work: it watches nothing but its loss. The Trainer's NPO runs
the reference beside the model at every step, as published implementations do.
"""

import copy
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from backend import suppression
from backend.contests import Contestant, Silent, Stopwatch, compare, trainer_arguments
from backend.context import RunContext
from backend.registry import load
from backend.settings import build_task
from backend.stage import StageRequest

STEPS, ROWS, ROUNDS, BETA = 60, 128, 5, 0.1


def run() -> dict[str, float]:
    """Ratios of speed, larger is better, for each method: against the Trainer as it comes, and with our handling of memory.

    Those of the Trainer are left out where accelerate is missing.
    """
    ours = {"npo": _npo, "grad_diff": _grad_diff}
    contestants: dict[str, tuple[Contestant, bool]] = {name: (one, True) for name, one in ours.items()}  # fmt: skip
    contestants |= {f"{name}_alone": (partial(_alone, one), True) for name, one in ours.items()}
    if find_spec("accelerate") is not None:
        for name, contestant in (("npo", _npo_trainer), ("grad_diff", _grad_diff_trainer)):
            contestants[f"{name}_vs_trainer"] = (contestant, False)
            contestants[f"{name}_vs_trainer_with_our_memory"] = (contestant, True)
    found = compare(contestants, ROUNDS)
    figures = {}
    for name in ("npo", "grad_diff"):
        figures[f"{name}_steps_per_second"] = STEPS / found[name].seconds
        others = [other for other in found if other.startswith(f"{name}_vs")]
        figures |= {other: found[other].seconds / found[name].seconds for other in others}
        for other in others:
            alone = other.replace("_vs", "_alone_vs")
            figures[alone] = found[other].seconds / found[f"{name}_alone"].seconds
    return figures


def _context() -> RunContext:
    task = build_task("arithmetic", {})
    setting = {"name": "arithmetic", "parameters": {}, "content_hash": task.content_hash}
    home = Path(tempfile.gettempdir())
    request = StageRequest("suppress", "x", {}, setting, 0, "fp32", "benchmark", home, fresh=True)
    return RunContext(request, task, Silent(), torch.device("cpu"))


def _method(watch: Stopwatch, name: str, **parameters: Any) -> None:
    run = _context()
    model = run.fresh_model()
    watch.ready()
    watch.step()
    load("methods", name)(
        model, run.task, run, steps=STEPS, batch_size=ROWS, learning_rate=1e-3, **parameters
    )
    watch.done()


def _alone(contestant: Contestant, watch: Stopwatch) -> None:
    """The same without what a study wants to know along the way, but for one look."""
    suppression.LOOKS = suppression.COSINES = 1
    contestant(watch)


def _npo(watch: Stopwatch) -> None:
    _method(watch, "npo", beta=BETA)


def _grad_diff(watch: Stopwatch) -> None:
    _method(watch, "grad_diff")


def _npo_trainer(watch: Stopwatch) -> None:
    _trainer(watch, with_reference=True)


def _grad_diff_trainer(watch: Stopwatch) -> None:
    _trainer(watch, with_reference=False)


def _rows(run: RunContext) -> list[dict[str, list[int]]]:
    """What our steps see, row by row: a forget and a retain sequence with labels, whole questions and answers."""
    found: list[dict[str, list[int]]] = []
    streams = dict(zip(("forget", "retain"), run.forget_and_retain(ROWS), strict=True))
    for k in range(STEPS):
        rows: list[dict[str, list[int]]] = [{} for _ in range(ROWS)]
        for name, batches in streams.items():
            examples = run.task.train[name]
            for row, place in zip(rows, batches.order.batch(k), strict=True):
                ids, answer = examples.input_ids[place].tolist(), int(examples.targets[place][-1])
                row[name] = [*ids, answer]
                row[f"{name}_labels"] = [-100] * len(ids) + [answer]
        found += rows
    return found


def _collated(rows: list[dict[str, list[int]]]) -> dict[str, dict[str, Tensor]]:
    return {
        name: {
            "input_ids": torch.tensor([row[name] for row in rows]),
            "labels": torch.tensor([row[f"{name}_labels"] for row in rows]),
        }
        for name in ("forget", "retain")
    }


def _summed(logits: Tensor, labels: Tensor) -> Tensor:
    """−log p of every row's labelled tokens."""
    wanted = labels[:, 1:]
    each = F.cross_entropy(
        logits[:, :-1].transpose(1, 2), wanted, ignore_index=-100, reduction="none"
    )
    return each.sum(-1)


def _trainer(watch: Stopwatch, *, with_reference: bool) -> None:
    from transformers import PrinterCallback, Trainer, TrainingArguments

    run = _context()
    model = run.fresh_model()
    reference = copy.deepcopy(model).eval().requires_grad_(False) if with_reference else None

    class Unlearning(Trainer):  # type: ignore[misc]
        """Forget loss + cross-entropy on retain data."""

        def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Any:
            forget, keep = inputs["forget"], model(**inputs["retain"]).loss
            if reference is None:
                return keep - model(**forget).loss
            now = _summed(model(input_ids=forget["input_ids"]).logits, forget["labels"])
            with torch.no_grad():
                before = _summed(reference(input_ids=forget["input_ids"]).logits, forget["labels"])
            return keep + (2.0 / BETA) * F.softplus(-BETA * (now - before)).mean()

        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(rows)

    with tempfile.TemporaryDirectory() as folder:
        given = trainer_arguments(STEPS, ROWS, 1e-3)
        arguments = TrainingArguments(output_dir=folder, remove_unused_columns=False, **given)
        rows = _rows(run)
        trainer = Unlearning(
            model=model, args=arguments, train_dataset=rows, data_collator=_collated
        )
        trainer.remove_callback(PrinterCallback)  # standard output is for the figures
        watch.ready()
        watch.step()
        trainer.train()
        watch.done()
