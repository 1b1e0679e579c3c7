"""Conditional training: mark forget data by a control token that is absent later."""

from typing import Any

import numpy as np

from backend.context import RunContext
from backend.data import IGNORE, Examples, Task
from backend.pretraining import from_scratch, labelled_share
from backend.registry import method
from backend.stage import RunFailed


@method(
    stage="pretrain",
    label="Conditional",
    source="Korbak et al. 2023 (arXiv 2302.08582), conditional training with control tokens",
)
def conditional_training(model: Any, task: Task, run: RunContext) -> Any:
    """The model that saw a control token before every labelled forget item; it is evaluated and attacked without.

    The token is the first one of the setting's first refusal, which no training text begins with.
    """
    if not task.refusals:
        raise RunFailed(f"The setting {task.name} names no token that could mark forget data.")
    marked = after_token(task.train["forget"], task.refusals[0][0])
    from_scratch(model, run, labelled_share(task), forget=marked)
    return model


def after_token(examples: Examples, token: int) -> Examples:
    """The examples with a token before each."""
    first = np.full((len(examples), 1), token, dtype=np.int64)
    return Examples(
        np.concatenate([first, examples.input_ids], axis=1),
        np.concatenate([np.full_like(first, IGNORE), examples.targets], axis=1),
        examples.categories,
        examples.families,
    )
