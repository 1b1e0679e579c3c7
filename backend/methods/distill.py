"""Distillation into a student that starts elsewhere: unlearn-and-distil, and oracle matching."""

from typing import Any, Literal

from backend.context import RunContext
from backend.data import Task
from backend.distillation import distill_outputs
from backend.models import build, frozen_copy
from backend.noise import add_noise
from backend.registry import Count, Course, Rate, Share, Weight, Whole, method

STUDENT_SEED = (
    7_919  # a random student must not start from the very weights that the base started from
)


@method(
    stage="robustify",
    label="Distil",
    source="Lee et al. 2025 (arXiv 2506.06278): unlearn-and-distil; teacher = oracle: oracle matching",
    needs={"oracle": {"teacher": "oracle"}, "base": {"student": "base"}},
)
def distill(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    teacher: Literal["parent", "oracle"] = "parent",
    student: Literal["random", "base", "noised"] = "random",
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
    """The student after imitating its teacher's outputs on retain and forget questions.

    With the oracle as teacher this is oracle matching: a student from the base can agree with the oracle and still keep
    what it knew, a random one cannot.

    Args:
        teacher: the model that comes in (the suppressed one), or the oracle
        student: a random start, the base, or the incoming model with noise
        alpha: share of noise of a noised student
        beta: scale of the noise of a noised student
        steps: largest number of distillation steps
        learning_rate: peak learning rate of AdamW
        retain_batch: retain questions a step
        forget_batch: forget questions a step, answered by the teacher; 0 distils on retain questions only
        tolerance: stop within this of the teacher's retain metric (absolute for shares, relative for losses); 0 never
        check_every: steps between checks of the stop rule
        schedule: course of the learning rate; a falling one lets the student settle
        warmup: steps over which the learning rate rises linearly from 0
    """
    shown = frozen_copy(run.input("oracle") if teacher == "oracle" else model)
    if student == "random":
        model = build(task.model, run.seed + STUDENT_SEED)
    elif student == "base":
        model = run.input("base")
    else:
        add_noise(model, run.fresh_model(), alpha, beta, run.generator("noise"))
    return distill_outputs(
        model,
        shown,
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
