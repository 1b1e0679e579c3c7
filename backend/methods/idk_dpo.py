"""Refusal by preference: prefer a refusal to the true answer."""

from typing import Any

from backend.context import RunContext
from backend.data import Task
from backend.preferences import prefer
from backend.refusals import refusals
from backend.registry import Rate, method


@method(
    stage="suppress",
    label="IdkDPO",
    source="Maini et al. 2024 (TOFU, arXiv 2401.06121) after Rafailov et al. 2023 (arXiv 2305.18290), eq. 7",
)
def idk_dpo(
    model: Any, task: Task, run: RunContext, *, beta: Rate = 0.1, **suppression: Any
) -> Any:
    """The model after preferring a refusal to the true answer, against the incoming model's odds.

    Args:
        beta: how soon a preference that is strong enough stops to count
    """
    return prefer(model, task, run, refusals(task, run), beta, **suppression)
