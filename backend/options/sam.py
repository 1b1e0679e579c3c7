"""Sharpness-aware minimisation: take the gradient where the loss is worst nearby."""

from collections.abc import Callable
from typing import Any

from backend.context import RunContext
from backend.data import Task
from backend.perturbation import gradient_norm, moved
from backend.registry import Rate, option


@option(
    slot="optimizer_wrapper",
    label="SAM",
    source="Foret et al. 2021 (arXiv 2010.01412), eq. 2–3; for unlearning Fan et al. 2025 (arXiv 2502.05374)",
)
def sam(model: Any, task: Task, run: RunContext, *, rho: Rate = 0.05) -> None:
    """Every step uses the gradient at θ + ρ g/‖g‖, on the same batches.

    Args:
        rho: radius of the step uphill
    """

    def wrapper(model: Any, backward: Callable[[], Any], step: int) -> Any:
        found = backward()
        scale = rho / (gradient_norm(model) + 1e-12)
        uphill = {n: p.grad * scale for n, p in model.named_parameters() if p.grad is not None}
        model.zero_grad()
        with moved(model, uphill):
            backward()
        return found

    run.wrapper = wrapper
