"""ℓ1-sparse unlearning: a penalty on the weights' size that fades."""

from typing import Any

from backend.context import RunContext
from backend.data import Task
from backend.registry import Weight, option


@option(
    slot="mask",
    label="ℓ1",
    source="Jia et al. 2023 (arXiv 2304.04934), eq. 2; L + γ_t ‖θ‖₁ with γ_t falling linearly to 0",
)
def l1_sparse(model: Any, task: Task, run: RunContext, *, gamma: Weight = 5e-4) -> None:
    """Every step also descends on γ_t times the sum of the matrices' absolute weights.

    Args:
        gamma: weight of the penalty at the first step
    """
    run.l1 = gamma
