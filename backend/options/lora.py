"""LoRA: train low-rank additions to the projections and merge them in the end."""

from typing import Any, Literal

import torch

from backend.context import RunContext
from backend.data import Task
from backend.registry import Count, option

PROJECTIONS = {
    "all": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    "attention": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "mlp": ["gate_proj", "up_proj", "down_proj"],
}


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
    from peft import LoraConfig, LoraModel

    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=PROJECTIONS[where]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(run.numbers("lora").integers(2**31)))
        tuner = LoraModel(model, config, "default")

    def merge(trained: Any) -> None:
        tuner.merge_and_unload()

    run.at_end.append(merge)
