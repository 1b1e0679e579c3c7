"""Relearning: fine-tune on the attack part of the forget data and see what comes back."""

from typing import Any, Literal

from backend.context import RunContext
from backend.data import Task
from backend.registry import Count, Rate, Whole, attack
from backend.relearning import relearned
from backend.weights import bare


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
        learning_rate: peak learning rate; the worst case over several counts
        steps: optimiser steps
        batch_size: forget facts of the attack part a step; all of them where there are fewer
        evaluate_every: steps between measurements
        examples: how many facts of the attack part the attacker has; 0 is all of them
        choose: which ones: drawn at random, or those whose loss is largest
        data: the facts alone, mixed half and half with retain facts, or their questions without any answer
    """
    return relearned(
        bare(model),
        run,
        batch_size=batch_size,
        examples=examples,
        choose=choose,
        data=data,
        learning_rate=learning_rate,
        steps=steps,
        evaluate_every=evaluate_every,
        **training,
    )
