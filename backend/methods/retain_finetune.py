"""Retain-only fine-tuning: train on and hope that the rest fades."""

from typing import Any

from backend.context import RunContext
from backend.data import Task
from backend.registry import Rate, method
from backend.suppression import suppress


@method(
    stage="suppress",
    label="Retain only",
    source="the fine-tuning baseline of Golatkar et al. 2020 (arXiv 1911.04933); L = CE(retain)",
    data_access="retain",
)
def retain_finetune(
    model: Any, task: Task, run: RunContext, *, learning_rate: Rate = 3e-3, **suppression: Any
) -> Any:
    """The model after training on retain data alone.

    Args:
        learning_rate: peak learning rate of AdamW
    """
    return suppress(model, task, run, None, learning_rate=learning_rate, **suppression)
