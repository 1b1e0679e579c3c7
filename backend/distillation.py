"""Distillation of a teacher's outputs into a student, with the stop rule relative to the teacher."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from backend import chunked
from backend.batches import Batch
from backend.catalogue import part
from backend.chunked import head_of
from backend.context import Batches, RunContext
from backend.data import Task
from backend.ranks import by_rows
from backend.registry import Count, Course, Rate, Weight, Whole
from backend.sampling import sampled_answers
from backend.stage import Measured
from backend.teacher_outputs import Remembered
from backend.training import train

# Left out of fingerprints where they have these values, so that old runs keep their names.
NEUTRAL = {"data": "mixture", "teacher_outputs": "recompute"}

PASS = 1 << 16  # input tokens of a pass over training data without gradients
LOOKED_AT = 1 << 20  # and of the training data on which agreement is measured in the end

Imitation = Callable[[Any, Any, Batch], Tensor]  # loss of a student, given its teacher and a batch


@dataclass
class Stream:
    """Questions with the teacher who answers them; `remembered` where its states were made beforehand."""

    teacher: Any
    batches: Batches
    size: int
    remembered: Remembered | None = None

    def loss(self, student: Any, k: int, imitate: Imitation) -> Tensor:
        """The student's loss on batch k, by the teacher's states where they are remembered."""
        head = head_of(student) if self.remembered else None
        if self.remembered and head:
            return self.remembered.divergence(student, head, k)
        return imitate(student, self.teacher, self.batches(k))


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
    forget_teacher: Any = None,
    *,
    steps: Count = 1200,
    learning_rate: Rate = 3e-3,
    retain_batch: Count = 128,
    forget_batch: Whole = 64,
    data: Literal["mixture", "retain", "sampled"] = "mixture",
    teacher_outputs: Literal["recompute", "cache"] = "recompute",
    tolerance: Weight = 0.03,
    check_every: Count = 20,
    schedule: Course = "cosine",
    warmup: Whole = 20,
    **training: Any,
) -> Any:
    """The student after imitating the teacher on retain and forget questions, without any label.

    A part that distils takes these parameters as `**distillation`. Training ends once the student has recovered its
    teacher on retain validation data; the checks' passes are part of the run's FLOPs. `forget_teacher` is a second
    teacher for the forget questions.

    Args:
        steps: largest number of distillation steps
        learning_rate: peak learning rate of AdamW
        retain_batch: retain questions a step
        forget_batch: forget questions a step, answered by the teacher; 0 distils on retain questions only
        data: mixture imitates the teacher's distribution on both kinds of questions, retain leaves the forget
            questions out, sampled learns answers that the teacher draws anew for every step, as from its text alone
        teacher_outputs: recompute runs the teacher at every step, cache runs its body once over all training questions
            and keeps its last hidden states in memory, which gives the same outputs; not for what it samples
        tolerance: stop within this of the teacher's retain metric (absolute for shares, relative for losses); 0 never
        check_every: steps between checks of the stop rule
        schedule: course of the learning rate; a falling one lets the student settle
        warmup: steps over which the learning rate rises linearly from 0
    """
    retain = run.batches(task.train["retain"], retain_batch, "retain")
    streams = [Stream(teacher, retain, retain_batch)]
    if forget_batch and data != "retain":
        forget = run.batches(task.train["forget"], forget_batch, "forget")
        streams.append(Stream(forget_teacher or teacher, forget, forget_batch))
    imitate, name = (repeat, "nll") if data == "sampled" else (agree, "kl")
    loss = _loss(student, streams, imitate, name)

    if teacher_outputs == "cache" and data != "sampled":
        for stream in streams:
            _remember(stream, run)
    with run.meter.watching(*{id(s.teacher): s.teacher for s in streams}.values()):
        goal = run.metric(teacher, "retain_validation", task.retain_metric)
        done = train(
            student,
            loss,
            run,
            steps=steps,
            learning_rate=learning_rate,
            check=_check(student, task, run, goal, tolerance),
            check_every=check_every,
            schedule=schedule,
            warmup=warmup,
            **training,
        )
    if tolerance > 0 and done == steps:
        run.note(f"The student had not recovered its teacher's retain metric after {steps} steps.")
    run.sink.record([Measured("kl", "agreement", _kl(student, streams), done)])
    return student


def _remember(stream: Stream, run: RunContext) -> None:
    """Make a teacher's states for all its questions, or say that it has none to keep."""
    head = head_of(stream.teacher)
    if head is None:
        run.note("The teacher's last states are not at hand; it was run again at every step.")
    else:
        stream.remembered = Remembered(stream.teacher, head, stream.batches, run)


def _loss(
    student: Any, streams: list[Stream], imitate: Imitation, name: str
) -> Callable[[int], tuple[Tensor, dict[str, Tensor]]]:
    """The loss of batch k over the retain questions and, where there are two streams, the forget questions."""

    @by_rows
    def loss(k: int) -> tuple[Tensor, dict[str, Tensor]]:
        retain, *rest = streams
        kept = retain.loss(student, k, imitate)
        if not rest:
            return kept, {name: kept}
        (forget,) = rest
        dropped = forget.loss(student, k, imitate)
        share = retain.size / (retain.size + forget.size)
        both = share * kept + (1 - share) * dropped
        return both, {name: both, f"retain_{name}": kept, f"forget_{name}": dropped}

    return loss


def _check(
    student: Any, task: Task, run: RunContext, goal: float, tolerance: float
) -> Callable[[int], bool]:
    """The stop rule: has the student the teacher's retain metric?"""
    declared = part("metrics", task.retain_metric).declared

    def check(step: int) -> bool:
        now = run.metric(student, "retain_validation", task.retain_metric, step)
        return tolerance > 0 and recovered(
            now, goal, declared["direction"], declared["unit"], tolerance
        )

    return check


def agree(student: Any, teacher: Any, batch: Batch) -> Tensor:
    """Mean KL(T ‖ S) at the scored positions, in nats."""
    return chunked.forward_divergence(teacher, student, batch)


def repeat(student: Any, teacher: Any, batch: Batch) -> Tensor:
    """Mean cross-entropy on answers that the teacher draws, in nats (Kim & Rush 2016, arXiv 1606.07947, by samples).

    Its mean over draws is KL(T ‖ S) plus the teacher's entropy.
    """
    return chunked.cross_entropy(student, sampled_answers(teacher, batch))


@torch.no_grad()
def _kl(student: Any, streams: list[Stream]) -> float:
    """Mean KL(T ‖ S) over the tokens of all training questions, of very many a regular sample: how closely it imitates."""
    total, count = 0.0, 0
    for stream in streams:
        loader = stream.batches.loader
        every = max(1, len(loader) * loader.length // LOOKED_AT)
        rows = torch.arange(0, len(loader), every).numpy()
        at_once = max(1, PASS // loader.length)
        for start in range(0, len(rows), at_once):
            batch = loader.batch(rows[start : start + at_once])
            total += agree(student, stream.teacher, batch).item() * len(batch.targets)
            count += len(batch.targets)
    return total / count
