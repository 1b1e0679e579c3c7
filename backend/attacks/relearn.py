"""Relearning: fine-tune on the attack part of the forget data and see what comes back."""

from typing import Any

from backend.context import RunContext
from backend.data import Task
from backend.evaluation import answers, measure, score
from backend.losses import cross_entropy
from backend.models import scored_logits
from backend.registry import Count, Rate, attack
from backend.training import train


@attack(
    label="Relearning",
    source="Lee et al. 2025 (arXiv 2506.06278): full fine-tuning, strongest learning rate counts",
    counts="weights",
    has_steps=True,
)
def relearn(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    learning_rate: Rate = 1e-3,
    steps: Count = 150,
    batch_size: Count = 64,
    evaluate_every: Count = 10,
    **training: Any,
) -> Any:
    """The attacked model, measured along its steps on the validation and the score part, step 0 included.

    Args:
        learning_rate: peak learning rate of AdamW; the worst case over several counts
        steps: optimiser steps
        batch_size: forget facts of the attack part a step
        evaluate_every: steps between measurements
    """
    batches = run.batches(run.split("attack"), batch_size, "attack")

    def loss(k: int) -> Any:
        batch = batches(k)
        return cross_entropy(scored_logits(model, batch), batch.targets)

    def look(step: int) -> bool:
        for part in ("validation", "score"):
            name = f"{run.target}_{part}"
            found = score(model, run.loader(task.splits[name]))
            scored = part == "score"
            run.sink.record(measure(found, task, name, step, categories=scored, keep_items=scored))
            if scored and step + evaluate_every > steps:
                run.sink.samples(answers(found, task, name, step))
        return False

    train(
        model,
        loss,
        run,
        steps=steps,
        learning_rate=learning_rate,
        check=look,
        check_every=evaluate_every,
        check_first=True,
        tolerate_divergence=True,
        **training,
    )
    return model
