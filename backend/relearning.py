"""What attacks that relearn share: the examples that the attacker has, and the loss on them."""

from typing import Any, Literal

from backend.attacking import (
    Loss,
    answer_loss,
    chosen_examples,
    fine_tuned,
    mixed_with,
    unlabelled,
)
from backend.context import RunContext
from backend.data import Examples
from backend.registry import Count, Rate, Whole
from backend.stage import NotApplicable

Choose = Literal["random", "hurt"]
Data = Literal["forget", "mixed", "unlabelled"]


def known_examples(run: RunContext, model: Any, count: int, choose: Choose, data: Data) -> Examples:
    """What the attacker trains on: see `backend.attacking.chosen_examples`; unlabelled items without their answers.

    Raises:
        NotApplicable: what was hurt most cannot be told without answers
    """
    if data != "unlabelled":
        return chosen_examples(run, model, count, choose)
    if count and choose == "hurt":
        raise NotApplicable("without answers nobody can tell which items were hurt most")
    return unlabelled(chosen_examples(run, model, count, "random"))


def relearning_loss(model: Any, run: RunContext, known: Examples, size: int, data: Data) -> Loss:
    """The loss of batch k: `size` known items, or all where there are fewer, and as many retain facts where mixed."""
    batches = run.batches(known, min(size, len(known)), "attack")
    return mixed_with(model, run, batches) if data == "mixed" else answer_loss(model, batches)


def relearned(
    model: Any,
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
    """The model after relearning, measured along its steps on the validation and the score part, step 0 included.

    Args:
        learning_rate: peak learning rate; the worst case over several counts
        steps: optimiser steps
        batch_size: forget facts of the attack part a step; all of them where there are fewer
        evaluate_every: steps between measurements
        examples: how many facts of the attack part the attacker has; 0 is all of them
        choose: which ones: drawn at random, or those whose loss is largest
        data: the facts alone, mixed half and half with retain facts, or their questions without any answer
    """
    known = known_examples(run, model, examples, choose, data)
    loss = relearning_loss(model, run, known, batch_size, data)
    return fine_tuned(
        model,
        run,
        loss,
        steps=steps,
        learning_rate=learning_rate,
        evaluate_every=evaluate_every,
        **training,
    )
