"""SalUn: change only the weights on which the forget loss depends most."""

from typing import Any

from backend.context import RunContext
from backend.data import Task
from backend.registry import Share, option
from backend.saliency import forget_and_retain_gradients, largest


@option(
    slot="mask",
    label="SalUn mask",
    source="Fan et al. 2023 (arXiv 2310.12508), eq. 3; m = 1[|∇ℓ(forget)| ≥ γ]",
)
def salun(model: Any, task: Task, run: RunContext, *, keep: Share = 0.5) -> None:
    """Only the share of the weights with the largest gradient of the forget loss may change.

    Args:
        keep: share of the matrices' weights that may change
    """
    forget, _ = forget_and_retain_gradients(model, task, run)
    run.masks = largest({name: gradient.abs() for name, gradient in forget.items()}, keep)
