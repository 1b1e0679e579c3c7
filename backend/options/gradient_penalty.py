"""Gradient penalty: prefer places where the loss is flat."""

from collections.abc import Callable
from typing import Any

from backend.context import RunContext
from backend.data import Task
from backend.perturbation import gradient_norm, moved
from backend.registry import Rate, Weight, option


@option(
    slot="optimizer_wrapper",
    label="gradient penalty",
    source="Fan et al. 2025 (arXiv 2502.05374), gradient penalty; ∇(L + λ‖∇L‖²) = g + 2λ Hg, Hg by a finite difference",
)
def gradient_penalty(
    model: Any, task: Task, run: RunContext, *, weight: Weight = 0.1, radius: Rate = 0.01
) -> None:
    """Every step descends on the loss plus its squared gradient norm.

    Args:
        weight: weight λ of the squared norm
        radius: length of the finite difference along the gradient
    """

    def wrapper(model: Any, backward: Callable[[], Any], step: int) -> Any:
        found = backward()
        norm = gradient_norm(model)
        first = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        model.zero_grad()
        with moved(model, {n: g * (radius / (norm + 1e-12)) for n, g in first.items()}):
            backward()
        for name, parameter in model.named_parameters():
            if name in first:
                # H g ≈ ‖g‖ (g(θ + r g/‖g‖) − g(θ)) / r
                curved = (parameter.grad - first[name]) * (norm / radius)
                parameter.grad = first[name] + 2.0 * weight * curved
        return found

    run.wrapper = wrapper
