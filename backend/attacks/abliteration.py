"""Abliteration: a direction that tells forgotten questions from others is removed from the model, or walked along."""

from contextlib import AbstractContextManager
from typing import Any, Literal

import numpy as np

from backend.attacking import look
from backend.benign import benign_examples
from backend.change import before, note_change
from backend.context import RunContext
from backend.data import Task
from backend.directions import mean_states, moved_along, without_direction
from backend.evaluation import score
from backend.registry import Whole, attack, load
from backend.stage import RunFailed
from backend.weights import in_hand


@attack(
    label="Abliteration",
    source="Arditi et al. 2024 (arXiv 2406.11717), eq. 1–5, difference in means; Łucki et al. 2024 (arXiv 2409.18025)",
    counts="weights",
    has_steps=False,
    needs={"base": {"contrast": "base"}},
)
def abliteration(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    mode: Literal["ablate", "steer"] = "ablate",
    strength: float = -1.0,
    layer: Whole | None = None,
    contrast: Literal["retain", "base"] = "retain",
) -> Any:
    """The model without one direction of its residual stream, or pushed along it, measured once.

    The direction is the difference of two means over the attack part's questions at the prompt's last token.

    Args:
        mode: ablate: no module writes along the direction any more; steer: it is added after its block
        strength: how many times it is added; −1 moves forgotten questions to where the others are on average
        layer: block whose output gives the direction, 0 is the first; without one every block is tried and the
            validation part decides
        contrast: what the forget questions' mean is compared with: the retain questions', or the base's on the same
            questions, a diagnosis, since who holds the base needs no attack
    """
    start = before(in_hand(model), run)
    directions = _directions(model, task, run, contrast)
    if layer is not None and layer >= len(directions):
        raise RunFailed(f"abliteration: layer = {layer}, but the model has {len(directions)} blocks, from 0 on.")  # fmt: skip

    def changed(place: int) -> AbstractContextManager[None]:
        if mode == "steer":
            return moved_along(model, place, directions[place], strength)
        return without_direction(model, directions[place])

    tried = range(len(directions)) if layer is None else [layer]
    standings = []
    for place in tried if len(tried) > 1 else ():
        with changed(place), run.meter.watching(model):
            standings.append(_standing(model, task, run))
    chosen = tried[int(np.argmax(standings))] if standings else tried[0]
    run.note(f"The direction is that of block {chosen}.")
    with changed(chosen):
        note_change(run, start, model)
        look(run, model, 1, last=True)
    return model


def _directions(model: Any, task: Task, run: RunContext, contrast: str) -> Any:
    """The difference of means after every block, (blocks, width)."""
    forget = mean_states(model, run, run.split("attack"))
    if contrast == "base":
        return forget - mean_states(run.input("base"), run, run.split("attack"))
    return forget - mean_states(model, run, benign_examples(task))


def _standing(model: Any, task: Task, run: RunContext) -> float:
    """What the attacker maximises: the forget metric on the validation part, negated where less is more."""
    metric = load("metrics", task.forget_metric)
    found = float(np.mean(metric(score(model, run.loader(run.split("validation"))))))
    return found if metric.declared["direction"] == "up" else -found  # type: ignore[attr-defined]
