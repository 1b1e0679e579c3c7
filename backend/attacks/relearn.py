"""Relearning: fine-tune on the attack part of the forget data and see what comes back."""

from typing import Any, Literal

from backend.attacking import answer_loss, chosen_examples, fine_tuned, mixed_with, unlabelled
from backend.context import RunContext
from backend.data import Task
from backend.registry import Count, Rate, Whole, attack


@attack(
    label="Relearning",
    source="Lee et al. 2025 (arXiv 2506.06278): full fine-tuning, strongest learning rate counts",
    counts="weights",
    has_steps=True,
    neutral={"examples": 0, "choose": "random", "data": "forget"},
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
    examples: Whole = 0,
    choose: Literal["random", "hurt"] = "random",
    data: Literal["forget", "mixed", "unlabelled"] = "forget",
    **training: Any,
) -> Any:
    """The attacked model, measured along its steps on the validation and the score part, step 0 included.

    Args:
        learning_rate: peak learning rate of AdamW; the worst case over several counts
        steps: optimiser steps
        batch_size: forget facts of the attack part a step
        evaluate_every: steps between measurements
        examples: how many facts of the attack part the attacker has; 0 is all of them
        choose: which ones: drawn at random, or those whose loss is largest
        data: the facts alone, mixed half and half with retain facts, or their questions without any answer
    """
    known = chosen_examples(run, model, examples, choose)
    if data == "unlabelled":
        known = unlabelled(known)
    batches = run.batches(known, batch_size, "attack")
    loss = mixed_with(model, run, batches) if data == "mixed" else answer_loss(model, batches)
    return fine_tuned(
        model,
        run,
        loss,
        steps=steps,
        learning_rate=learning_rate,
        evaluate_every=evaluate_every,
        **training,
    )
