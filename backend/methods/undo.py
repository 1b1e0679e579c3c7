"""UNDO: unlearn, noise, distil on outputs."""

from typing import Any

from backend.context import RunContext
from backend.data import Task
from backend.distillation import distill_outputs
from backend.models import frozen_copy
from backend.noise import add_noise
from backend.registry import Share, Weight, method


@method(
    stage="robustify",
    label="UNDO",
    source="Lee et al. 2025 (Distillation Robustifies Unlearning, arXiv 2506.06278)",
)
def undo(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    alpha: Share = 0.6,
    beta: Weight = 0.1,
    **distillation: Any,
) -> Any:
    """The student: the suppressed model with noised weights, after imitating the suppressed model's outputs.

    Args:
        alpha: share of every weight that is replaced by noise, 0 (none) … 1 (all)
        beta: scale of the noise, 1 is that of a Xavier initialisation
    """
    teacher = frozen_copy(model)
    add_noise(model, run.fresh_model(), alpha, beta, run.generator("noise"))
    return distill_outputs(model, teacher, task, run, **distillation)
