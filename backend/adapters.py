"""Low-rank additions to a model's projections, through peft."""

from typing import Any, Literal

import torch

from backend.context import RunContext

Where = Literal["all", "attention", "mlp"]

PROJECTIONS = {
    "all": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    "attention": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "mlp": ["gate_proj", "up_proj", "down_proj"],
}


def with_low_rank(model: Any, run: RunContext, rank: int, alpha: int, where: Where = "all") -> Any:
    """A tuner that has put additions of that rank into the model, which alone are trained, and can merge them.

    W + (alpha / rank) · B A with B = 0 at first (Hu et al. 2021, arXiv 2106.09685), so the model is the same until it
    is trained. `tuner.merge_and_unload()` makes them part of the weights.
    """
    from peft import LoraConfig, LoraModel

    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=PROJECTIONS[where]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(run.numbers("lora").integers(2**31)))
        return LoraModel(model, config, "default")
