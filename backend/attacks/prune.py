"""Pruning: what unlearning put into small or idle weights goes, and what it covered is left."""

from typing import Any, Literal

from backend.attacking import look
from backend.benign import benign_examples
from backend.change import before, note_change
from backend.context import RunContext
from backend.data import Task
from backend.noise import prune_smallest
from backend.pruning import input_sizes, prune_by_activation
from backend.registry import Share, attack
from backend.weights import in_hand


@attack(
    label="Pruning",
    source="Han et al. 2015 (arXiv 1506.02626), |W|; Wanda: Sun et al. 2023 (arXiv 2306.11695), |W|·‖x‖ in every row",
    counts="weights",
    has_steps=False,
)
def prune(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    share: Share = 0.3,
    by: Literal["magnitude", "wanda"] = "wanda",
    data: Literal["forget", "retain"] = "forget",
) -> Any:
    """The model without the least important weights of every projection, measured once.

    Args:
        share: share of the weights that is set to 0
        by: importance: a weight's size within its matrix, or its size times that of its input within its output's row
        data: where inputs are measured: on what the attacker knows of the forget facts, or on retain facts
    """
    start = before(in_hand(model), run)
    if by == "magnitude":
        prune_smallest(model, share)
    else:
        known = run.split("attack") if data == "forget" else benign_examples(task)
        prune_by_activation(model, input_sizes(model, run, known), share)
    note_change(run, start, model)
    look(run, model, 1, last=True)
    return model
