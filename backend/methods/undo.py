"""UNDO: unlearn, noise, distil on outputs."""

from typing import Any, Literal

from backend.context import RunContext
from backend.data import Task
from backend.distillation import distill_outputs
from backend.models import frozen_copy
from backend.noise import add_noise
from backend.registry import Share, Weight, method
from backend.saliency import places


@method(
    stage="robustify",
    label="UNDO",
    source="Lee et al. 2025 (Distillation Robustifies Unlearning, arXiv 2506.06278)",
    neutral={"where": "all", "salient_share": 0.5},
)
def undo(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    alpha: Share = 0.6,
    beta: Weight = 0.1,
    where: Literal["all", "attention", "mlp", "salient"] = "all",
    salient_share: Share = 0.5,
    **distillation: Any,
) -> Any:
    """The student: the suppressed model with noised weights, after imitating the suppressed model's outputs.

    Args:
        alpha: share of every weight that is replaced by noise, 0 (none) … 1 (all)
        beta: scale of the noise, 1 is that of a Xavier initialisation
        where: matrices that are noised; attention, mlp and salient leave embedding and gains as they are, or in the
            salient case all but the matrices' weights on which the forget loss of the incoming model depends most
        salient_share: share of the matrices' weights that is noised where it is the salient ones
    """
    teacher = frozen_copy(model)
    masks = places(model, task, run, where, salient_share)
    initial = run.initial_model(like=model)
    add_noise(model, initial, alpha, beta, run.generator("noise"), masks)
    del initial  # only its vectors counted, and distilling wants the memory
    return distill_outputs(model, teacher, task, run, **distillation)
