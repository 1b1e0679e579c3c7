"""Distillation of a teacher's outputs into a student, with the stop rule relative to the teacher."""

from typing import Any

import torch

from backend.catalogue import part
from backend.context import Batches, RunContext
from backend.data import Task
from backend.losses import forward_divergence
from backend.models import scored_logits
from backend.registry import Count, Course, Rate, Weight, Whole
from backend.stage import Measured
from backend.training import train


def recovered(student: float, teacher: float, direction: str, unit: str, tolerance: float) -> bool:
    """Whether the student is as good as its teacher up to the tolerance on retain data.

    The tolerance is absolute for shares such as an accuracy, relative to the teacher's value for losses.
    """
    gap = teacher - student if direction == "up" else student - teacher
    return gap < (tolerance if unit == "share" else tolerance * abs(teacher))


def distill_outputs(
    student: Any,
    teacher: Any,
    task: Task,
    run: RunContext,
    *,
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
    """The student after imitating the teacher on retain and forget questions, without any label.

    A part that distils takes these parameters as `**distillation`. Training ends once the student has recovered its
    teacher on retain validation data; the checks' passes are part of the run's FLOPs.

    Args:
        steps: largest number of distillation steps
        learning_rate: peak learning rate of AdamW
        retain_batch: retain questions a step
        forget_batch: forget questions a step, answered by the teacher; 0 distils on retain questions only
        tolerance: stop within this of the teacher's retain metric (absolute for shares, relative for losses); 0 never
        check_every: steps between checks of the stop rule
        schedule: course of the learning rate; a falling one lets the student settle
        warmup: steps over which the learning rate rises linearly from 0
    """
    declared = part("metrics", task.retain_metric).declared
    retain = run.batches(task.train["retain"], retain_batch, "retain")
    forget = run.batches(task.train["forget"], forget_batch, "forget") if forget_batch else None

    def loss(k: int) -> Any:
        kept = _imitate(student, teacher, retain(k))
        if forget is None:
            return kept, {"kl": kept}
        dropped = _imitate(student, teacher, forget(k))
        share = retain_batch / (retain_batch + forget_batch)
        kl = share * kept + (1 - share) * dropped
        return kl, {"kl": kl, "retain_kl": kept, "forget_kl": dropped}

    with run.meter.watching(teacher):
        goal = run.metric(teacher, "retain_validation", task.retain_metric)

        def check(step: int) -> bool:
            now = run.metric(student, "retain_validation", task.retain_metric, step)
            return tolerance > 0 and recovered(
                now, goal, declared["direction"], declared["unit"], tolerance
            )

        done = train(
            student,
            loss,
            run,
            steps=steps,
            learning_rate=learning_rate,
            check=check,
            check_every=check_every,
            schedule=schedule,
            warmup=warmup,
            **training,
        )
    if tolerance > 0 and done == steps:
        run.note(f"The student had not recovered its teacher's retain metric after {steps} steps.")
    run.sink.record([Measured("kl", "agreement", _kl(student, teacher, retain, forget), done)])
    return student


def _imitate(student: Any, teacher: Any, batch: Any) -> Any:
    with torch.no_grad():
        wanted = scored_logits(teacher, batch)
    return forward_divergence(wanted, scored_logits(student, batch))


@torch.no_grad()
def _kl(student: Any, teacher: Any, retain: Batches, forget: Batches | None) -> float:
    """Mean KL(T ‖ S) over all training questions, each once: how closely the student imitates."""
    total, count = 0.0, 0
    for loader in [batches.loader for batches in (retain, forget) if batches is not None]:
        batch = loader.batch(slice(0, len(loader)))
        total += _imitate(student, teacher, batch).item() * len(loader)
        count += len(loader)
    return total / count
