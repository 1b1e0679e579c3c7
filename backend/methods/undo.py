"""UNDO: unlearn, noise, distil on outputs."""

from typing import Any

from backend.context import RunContext
from backend.data import Task
from backend.distillation import distill_outputs
from backend.models import frozen_copy
from backend.noise import add_noise
from backend.registry import Count, Course, Rate, Share, Weight, Whole, method


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
    steps: Count = 1200,
    learning_rate: Rate = 3e-3,
    retain_batch: Count = 128,
    forget_batch: Whole = 64,
    tolerance: Weight = 0.03,
    check_every: Count = 20,
    schedule: Course = "cosine",
    warmup: Whole = 20,
    **training: Any,
) -> Any:
    """The student: the suppressed model with noised weights, after imitating the suppressed model's outputs.

    Args:
        alpha: share of every weight that is replaced by noise, 0 (none) … 1 (all)
        beta: scale of the noise, 1 is that of a Xavier initialisation
        steps: largest number of distillation steps
        learning_rate: peak learning rate of AdamW
        retain_batch: retain questions a step
        forget_batch: forget questions a step, answered by the teacher; 0 distils on retain questions only
        tolerance: stop within this of the teacher's retain metric (absolute for shares, relative for losses); 0 never
        check_every: steps between checks of the stop rule
        schedule: course of the learning rate; a falling one lets the student settle
        warmup: steps over which the learning rate rises linearly from 0
    """
    teacher = frozen_copy(model)
    add_noise(model, run.fresh_model(), alpha, beta, run.generator("noise"))
    return distill_outputs(
        model,
        teacher,
        task,
        run,
        steps=steps,
        learning_rate=learning_rate,
        retain_batch=retain_batch,
        forget_batch=forget_batch,
        tolerance=tolerance,
        check_every=check_every,
        schedule=schedule,
        warmup=warmup,
        **training,
    )
