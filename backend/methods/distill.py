"""Distillation into a student that starts elsewhere: unlearn-and-distil, oracle matching, other shapes and damages."""

from typing import Any, Literal

from backend.context import RunContext
from backend.data import Task
from backend.distillation import distill_outputs
from backend.ensemble import Ensemble
from backend.models import build, frozen_copy
from backend.noise import add_noise, prune_smallest
from backend.registry import Count, Rate, Share, Weight, method
from backend.shapes import scaled

# A random student must not start from the very weights that the base started from, nor a random teacher from either's.
STUDENT_SEED, TEACHER_SEED = 7_919, 15_919


@method(
    stage="robustify",
    label="Distil",
    source="Lee et al. 2025 (arXiv 2506.06278): unlearn-and-distil; teacher = oracle: oracle matching",
    needs={
        "oracle": {"teacher": "oracle"},
        "base": {"student": "base"},
        "teachers": {"teacher": "ensemble"},
    },
    neutral={"teachers": 3, "pruned": 0.5, "scale": 2.0, "scaled_part": "width"},
)
def distill(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    teacher: Literal["parent", "oracle", "random", "ensemble"] = "parent",
    teachers: Count = 3,
    student: Literal["random", "base", "noised", "pruned", "smaller", "larger"] = "random",
    alpha: Share = 0.6,
    beta: Weight = 0.1,
    pruned: Share = 0.5,
    scale: Rate = 2.0,
    scaled_part: Literal["width", "layers"] = "width",
    **distillation: Any,
) -> Any:
    """The student after imitating its teacher's outputs on retain and forget questions.

    With the oracle as teacher this is oracle matching: a student from the base can agree with the oracle and still keep
    what it knew, a random one cannot. A random teacher is a control: it shows what the student's own damage removes.

    Args:
        teacher: the model that comes in (the suppressed one), the oracle, random weights, which give no retain metric
            to recover (set tolerance to 0 to train for all steps), or an ensemble, the mean of the probabilities of the
            model that comes in and of the same suppression of the same model with other seeds
        teachers: models of an ensemble, the one that comes in among them; each is a run, and its cost counts
        student: a random start, the base, the incoming model with noise or with its smallest weights at 0, or a random
            start of a smaller or larger shape
        alpha: share of noise of a noised student
        beta: scale of the noise of a noised student
        pruned: share of every matrix but the embedding that a pruned student starts without; it may grow again
        scale: how many times larger or smaller a student of another shape is
        scaled_part: what that counts, the width or the number of layers
    """
    if teacher == "random":
        shown = frozen_copy(build(task.model, run.seed + TEACHER_SEED))
    else:
        shown = frozen_copy(run.input("oracle") if teacher == "oracle" else model)
    if teacher == "ensemble":
        shown = Ensemble([shown, *(run.input("teachers", i) for i in range(teachers - 1))])
    if student == "random":
        model = build(task.model, run.seed + STUDENT_SEED)
    elif student == "base":
        model = run.input("base")
    elif student == "noised":
        add_noise(model, run.initial_model(like=model), alpha, beta, run.generator("noise"))
    elif student == "pruned":
        prune_smallest(model, pruned)
    else:
        factor = scale if student == "larger" else 1 / scale
        model = scaled(task.model, factor, scaled_part, run.seed + STUDENT_SEED)
    return distill_outputs(model, shown, task, run, **distillation)
