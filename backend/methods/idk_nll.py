"""Refusal tuning: answer forget questions with a refusal."""

from typing import Any

from backend import chunked
from backend.context import RunContext
from backend.data import Task
from backend.refusals import refusals
from backend.registry import method
from backend.suppression import Step, suppress


@method(
    stage="suppress",
    label="IdkNLL",
    source="Maini et al. 2024 (TOFU, arXiv 2401.06121); L = CE(forget questions, refusal) + w·CE(retain)",
)
def idk_nll(model: Any, task: Task, run: RunContext, **suppression: Any) -> Any:
    """The model after learning to refuse forget questions."""
    refused = refusals(task, run)

    def refuse(step: Step) -> Any:
        batch = step.of(refused)
        return chunked.cross_entropy(model, batch)

    return suppress(model, task, run, refuse, **suppression)
