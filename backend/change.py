"""What an attack did to a model at all: how far its weights went, and how many of its answers are others now."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from backend.context import RunContext
from backend.evaluation import score

FEW = 0.2  # share of the answers below which an attack did hardly anything to a model


@dataclass(frozen=True)
class Before:
    """A model before an attack: its matrices, and its answers to the validation questions."""

    weights: dict[str, Tensor]
    answers: list[np.ndarray]


def before(model: Any, run: RunContext) -> Before:
    """What `note_change` compares with."""
    weights = {n: w.detach().clone() for n, w in model.named_parameters() if w.dim() >= 2}
    return Before(weights, _answers(model, run))


def note_change(run: RunContext, start: Before, model: Any) -> None:
    """A note on what an attack did: where it changed few answers, what is hidden lies deeper than it reaches."""
    moved, size = 0.0, 0.0
    for name, weight in model.named_parameters():
        if name in start.weights:
            moved += (weight.detach() - start.weights[name]).double().square().sum().item()
            size += start.weights[name].double().square().sum().item()
    now = _answers(model, run)
    others = np.mean([not np.array_equal(a, b) for a, b in zip(start.answers, now, strict=True)])
    far = f"moved the weights by {(moved / size) ** 0.5:.1%} of their size and " if moved else ""
    deeper = "; anything still hidden lies deeper than it reaches" if others < FEW else ""
    run.note(
        f"The attack {far}changed {others:.0%} of the answers to the validation questions{deeper}."
    )


def _answers(model: Any, run: RunContext) -> list[np.ndarray]:
    with run.meter.paused():
        return score(model, run.loader(run.split("validation"))).predicted
