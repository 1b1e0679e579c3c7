"""Interpolation: on the straight line from the model to the base, how soon does the knowledge return?"""

from typing import Any

from backend.attacking import look
from backend.change import before, note_change
from backend.context import RunContext
from backend.data import Task
from backend.registry import Share, attack
from backend.weights import in_hand, move_towards


@attack(
    label="Interpolation with the base",
    source="Frankle et al. 2020 (arXiv 1912.05671), linear mode connectivity; θ = (1 − s) θ_u + s θ_base",
    counts="probe",
    has_steps=False,
    needs={"base": {}},
)
def interpolate(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    share: Share = 0.5,
) -> Any:
    """The model moved towards the base, measured once: a probe, since who holds the base has the knowledge already.

    A grid over the share draws the line's profile: whether the two lie in one basin, and how far the model went.

    Args:
        share: share of the way to the base; 0 is the model, 1 the base
    """
    start = before(in_hand(model), run)
    move_towards(model, run.input("base"), share)
    note_change(run, start, model)
    look(run, model, 1, last=True)
    return model
