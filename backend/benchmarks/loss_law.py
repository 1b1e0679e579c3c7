"""How well the multi-power law foretells: fitted on two schedules of a small model on English text, tried on others. Minutes.

The text is Python's own reference on language topics, which every CPython brings along; its bytes are the tokens. Losses
of every step are kept, since single batches are noisy and the law is about their mean.
"""

import tempfile
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import torch

from backend.benchmarks.training_loop import Silent
from backend.context import RunContext
from backend.data import Examples, Task
from backend.loss_fitting import fit
from backend.loss_forecast import rates
from backend.loss_law import Curve, error
from backend.losses import cross_entropy
from backend.models import scored_logits
from backend.stage import StageRequest
from backend.training import train

LENGTH, ROWS, PEAK, WARMUP = 64, 16, 3e-3, 20
MODEL = {
    "family": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 256,
}


# As in the paper a smooth fall and a sudden one: two smooth ones leave open what a sudden one does (docs/lab-notes.md).
FITTED = (("cosine", 1600), ("step", 2000))
TRIED = (("wsd", 2000), ("linear", 1200))


def run() -> dict[str, float]:
    """Relative errors of the law on two schedules that it was not fitted to, at the end and mean over the curve."""
    torch.set_num_threads(1)
    return errors("".join(topics.values()).encode(), FITTED, TRIED)


def errors(
    text: bytes, fitted: tuple[tuple[str, int], ...], tried: tuple[tuple[str, int], ...]
) -> dict[str, float]:
    """The same for any text and any (schedule, steps)."""
    task = _task(text)
    law = fit([_trained(task, schedule, steps) for schedule, steps in fitted])
    found: dict[str, float] = {}
    for schedule, steps in tried:
        off = error(law, _trained(task, schedule, steps))
        found |= {f"{schedule}_{steps}_end": off.end, f"{schedule}_{steps}_mean": off.mean}
    return found


def _task(text: bytes) -> Task:
    known, codes = np.unique(np.frombuffer(text, dtype=np.uint8), return_inverse=True)
    rows = (len(codes) - 1) // LENGTH
    ids = codes[: rows * LENGTH].reshape(rows, LENGTH).astype(np.int64)
    targets = codes[1 : rows * LENGTH + 1].reshape(rows, LENGTH).astype(np.int64)
    blocks = Examples(ids, targets)
    words = tuple(chr(code) for code in known)
    model = {**MODEL, "vocab_size": len(words)}
    return Task("text", model, {}, {"retain": blocks, "forget": blocks}, {}, words)


def _trained(task: Task, schedule: str, steps: int) -> Curve:
    """The loss of every step of a training from scratch."""
    home = Path(tempfile.gettempdir())
    request = StageRequest(
        "base", "base", {}, {"name": "text"}, 0, "fp32", "losslaw", home, fresh=True
    )
    run = RunContext(request, task, Silent(), torch.device("cpu"), keep_state_every=float("inf"))
    model, batches = run.fresh_model(), run.batches(task.train["retain"], ROWS, "retain")
    kept: list[float] = []

    def loss(k: int) -> Any:
        batch = batches(k)
        found = cross_entropy(scored_logits(model, batch), batch.targets)
        kept.append(float(found.detach()))
        return found

    timed: dict[str, Any] = {"schedule": schedule, "warmup": WARMUP}
    train(model, loss, run, steps=steps, learning_rate=PEAK, weight_decay=0.1, beta2=0.98, **timed)
    return Curve(np.arange(1, steps + 1), np.array(kept), rates(steps, PEAK, **timed), WARMUP)
