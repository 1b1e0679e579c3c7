"""Logit lens: what would the model answer if it stopped after an earlier layer?"""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from backend.attacking import PARTS, report_own
from backend.context import RunContext
from backend.data import Task
from backend.evaluation import item_row
from backend.layerwise import (
    States,
    blocks_of,
    finite,
    layer_name,
    same_shape,
    scored_states,
)
from backend.losses import item_means
from backend.registry import attack
from backend.representations import read_off

Readings = dict[str, np.ndarray]  # accuracy, rank and log_probability of every item
CHUNK = 1024  # positions decoded at once


@attack(
    label="Logit lens",
    source="nostalgebraist 2020; the base's head: arXiv 2605.24614",
    counts="probe",
    has_steps=False,
    needs={"base": {"head": "base"}},
    metric={
        "name": "lens_accuracy",
        "direction": "up",
        "floor": 0.0,
        "unit": "share",
        "range": [0, 1],
        "label": "logit lens accuracy",
    },
)
def logit_lens(
    model: Any, task: Task, run: RunContext, *, head: Literal["own", "base"] = "own"
) -> Any:
    """The model as it was; its score is the share of facts that one layer's states, decoded at once, already answer.

    softmax(W · norm(h)) of what each block puts out where the answer is scored, the true answer given. The layer that
    answers most validation facts is scored, of equals the one that gives them the higher probability. All layers are
    recorded as categories of `lens_accuracy`, `lens_rank` (1 is the likeliest token; the mean over an item's tokens)
    and `lens_log_probability` (nats a token). Trains nothing, and never enters robust forget quality.

    Args:
        head: whose final norm and head decode: the model's own, or the base's, which also sees through a changed head
    """
    blocks_of(model)
    decoder = run.input("base").eval() if head == "base" else model
    same_shape(model, decoder)
    found = {}
    with run.meter.watching(model):
        for part in PARTS:
            states = finite(scored_states(model, run.loader(run.split(part))))
            found[part] = [_decoded(decoder, layer, states) for layer in states.layers]
    best = max(range(len(found["validation"])), key=lambda k: _rank(found["validation"][k]))
    report_own(
        run, "lens_accuracy", {part: layers[best]["accuracy"] for part, layers in found.items()}
    )
    for part, layers in found.items():
        for layer, readings in enumerate(layers):
            split = f"{run.target}_{part}"
            rows = [
                item_row(f"lens_{n}", split, v, 1, layer_name(layer)) for n, v in readings.items()
            ]
            run.sink.record(rows)
    run.note(f"The lens on {layer_name(best)} answers most validation facts.")
    return model


@torch.no_grad()
def _decoded(decoder: Any, layer: Tensor, states: States) -> Readings:
    """What the decoder makes of a layer's states, for every item."""
    pieces = zip(layer.split(CHUNK), states.targets.split(CHUNK), strict=True)
    parts = [_tokens(read_off(decoder, given).float(), target) for given, target in pieces]
    rank, log_p = (torch.cat(values).double() for values in zip(*parts, strict=True))
    count = int(states.rows[-1]) + 1
    first, ranks, log_ps = (
        item_means(values, states.rows, count).cpu().numpy()
        for values in ((rank == 1).double(), rank, log_p)
    )
    return {"accuracy": (first == 1).astype(float), "rank": ranks, "log_probability": log_ps}


def _tokens(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Rank and log-probability of every token; among equals the target is the last, so a flat guess knows nothing."""
    mine = logits.gather(-1, targets[:, None])
    rank = (logits >= mine).sum(-1)
    return rank, logits.log_softmax(-1).gather(-1, targets[:, None])[:, 0]


def _rank(readings: Readings) -> tuple[float, float]:
    return float(readings["accuracy"].mean()), float(readings["log_probability"].mean())
