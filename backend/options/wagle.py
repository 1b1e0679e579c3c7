"""WAGLE: change only the weights that matter to forgetting and not to retaining."""

from typing import Any

from backend.context import RunContext
from backend.data import Task
from backend.registry import Rate, Share, option
from backend.saliency import forget_and_retain_gradients, largest


@option(
    slot="mask",
    label="WAGLE mask",
    source="Jia et al. 2024 (arXiv 2410.17509), eq. 10; s = (θ − ∇ℓ(retain)/γ) · ∇ℓ(forget)",
)
def wagle(
    model: Any, task: Task, run: RunContext, *, keep: Share = 0.95, curvature: Rate = 1.0
) -> None:
    """Only the share of the weights with the largest attribution may change.

    Args:
        keep: share of the matrices' weights that may change
        curvature: γ, which stands for the diagonal of the retain loss's Hessian
    """
    forget, retain = forget_and_retain_gradients(model, task, run)
    weights = dict(model.named_parameters())
    scores = {
        name: (weights[name].detach() - retain[name] / curvature) * gradient
        for name, gradient in forget.items()
    }
    run.masks = largest(scores, keep)
