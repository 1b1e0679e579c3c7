"""Distillation into a student that starts elsewhere: unlearn-and-distil, and oracle matching."""

from typing import Any, Literal

from backend.context import RunContext
from backend.data import Task
from backend.distillation import distill_outputs
from backend.models import build, frozen_copy
from backend.noise import add_noise
from backend.registry import Share, Weight, method

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
    **distillation: Any,
) -> Any:
    """The student after imitating its teacher's outputs on retain and forget questions.

    With the oracle as teacher this is oracle matching: a student from the base can agree with the oracle and still keep
    what it knew, a random one cannot.

    Args:
        teacher: the model that comes in (the suppressed one), or the oracle
        student: a random start, the base, or the incoming model with noise
        alpha: share of noise of a noised student
        beta: scale of the noise of a noised student
    """
    shown = frozen_copy(run.input("oracle") if teacher == "oracle" else model)
    if student == "random":
        model = build(task.model, run.seed + STUDENT_SEED)
    elif student == "base":
        model = run.input("base")
    else:
        add_noise(model, run.fresh_model(), alpha, beta, run.generator("noise"))
    return distill_outputs(model, shown, task, run, **distillation)
