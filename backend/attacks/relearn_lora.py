"""Relearning with low-rank additions: cheaper, and the weights themselves stay as they are."""

from typing import Any

from backend.adapters import with_low_rank
from backend.context import RunContext
from backend.data import Task
from backend.registry import Count, attack
from backend.relearning import relearned
from backend.weights import in_hand


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
    **relearning: Any,
) -> Any:
    """The model with low-rank additions to every projection, which alone were trained, measured along the steps.

    A cheaper attacker than one who trains all weights, never a substitute for him. The experts of a mixture are no
    linear layers and get none.

    Args:
        rank: rank of every addition
    """
    tuner = with_low_rank(in_hand(model), run, rank, 2 * rank)
    relearned(model, run, **relearning)
    return tuner.merge_and_unload().requires_grad_(True)
