"""LoRA: train low-rank additions to the projections and merge them in the end."""

from typing import Any, Literal

from backend.adapters import with_low_rank
from backend.context import RunContext
from backend.data import Task
from backend.registry import Count, option


@option(slot="adapter", label="LoRA", source="Hu et al. 2021 (arXiv 2106.09685), through peft")
def lora(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    rank: Count = 8,
    alpha: Count = 16,
    where: Literal["all", "attention", "mlp"] = "all",
) -> None:
    """Only low-rank additions are trained; they are part of the weights once the method has ended.

    Args:
        rank: rank of every addition
        alpha: the additions count alpha / rank times
        where: projections that get one
    """
    tuner = with_low_rank(model, run, rank, alpha, where)

    def merge(trained: Any) -> None:
        tuner.merge_and_unload()

    run.at_end.append(merge)
