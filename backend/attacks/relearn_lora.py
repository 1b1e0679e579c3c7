"""Relearning with low-rank additions: cheaper, and the weights themselves stay as they are."""

from typing import Any, Literal

from backend.adapters import with_low_rank
from backend.context import RunContext
from backend.data import Task
from backend.registry import Count, Rate, Whole, attack
from backend.relearning import relearned
from backend.weights import bare


@attack(
    label="Relearning with LoRA",
    source="Hu et al. 2021 (arXiv 2106.09685) after Lee et al. 2025 (arXiv 2506.06278); α = 2 · rank",
    counts="weights",
    has_steps=True,
)
def relearn_lora(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    rank: Count = 16,
    learning_rate: Rate = 1e-3,
    steps: Count = 150,
    batch_size: Count = 64,
    evaluate_every: Count = 10,
    examples: Whole = 0,
    choose: Literal["random", "hurt"] = "random",
    data: Literal["forget", "mixed", "unlabelled"] = "forget",
    **training: Any,
) -> Any:
    """The model with low-rank additions to every projection, which alone were trained, measured along the steps.

    A cheaper attacker than one who trains all weights, never a substitute for him. The experts of a mixture are no
    linear layers and get none.

    Args:
        rank: rank of every addition
        learning_rate: peak learning rate; the worst case over several counts
        steps: optimiser steps
        batch_size: forget facts of the attack part a step; all of them where there are fewer
        evaluate_every: steps between measurements
        examples: how many facts of the attack part the attacker has; 0 is all of them
        choose: which ones: drawn at random, or those whose loss is largest
        data: the facts alone, mixed half and half with retain facts, or their questions without any answer
    """
    tuner = with_low_rank(bare(model), run, rank, 2 * rank)
    relearned(
        model,
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
    return tuner.merge_and_unload().requires_grad_(True)
