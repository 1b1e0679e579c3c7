"""Bad teacher: imitate an incompetent model on forget data and the base on retain data."""

from typing import Any, Literal

import torch

from backend.context import RunContext
from backend.data import Task
from backend.losses import forward_divergence
from backend.models import build, frozen_copy, scored_logits
from backend.ranks import by_tokens
from backend.registry import method
from backend.suppression import Step, suppress

TEACHER_SEED = 15_485_863  # the incompetent teacher must not be what the base started from


@method(
    stage="suppress",
    label="Bad teacher",
    source="Chundawat et al. 2023 (arXiv 2205.08096), eq. 2; L = KL(T_bad ‖ p)(forget) + w·KL(p₀ ‖ p)(retain)",
)
def bad_teacher(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    retain_loss: Literal["nll", "kl"] = "kl",
    **suppression: Any,
) -> Any:
    """The model after imitating a randomly initialised one on forget data, and the incoming one on retain data.

    Args:
        retain_loss: nll on the true answers, or kl to the incoming model's
    """
    teacher = frozen_copy(build(task.model, run.seed + TEACHER_SEED))

    @by_tokens
    def imitate(step: Step) -> Any:
        with torch.no_grad():
            wanted = scored_logits(teacher, step.forget)
        return forward_divergence(wanted, scored_logits(model, step.forget))

    with run.meter.watching(teacher):
        return suppress(model, task, run, imitate, retain_loss=retain_loss, **suppression)
