"""Low-rank additions to a model's projections, through peft."""

from typing import Any, Literal

import torch

from backend.architecture import is_turned, projections
from backend.context import RunContext
from backend.stage import RunFailed

Where = Literal["all", "attention", "mlp"]


def with_low_rank(model: Any, run: RunContext, rank: int, alpha: int, where: Where = "all") -> Any:
    """A tuner that has put additions of that rank into the model, which alone are trained, and can merge them.

    W + (alpha / rank) · B A with B = 0 at first (Hu et al. 2021, arXiv 2106.09685), so the model is the same until it
    is trained. `tuner.merge_and_unload()` makes them part of the weights.

    Raises:
        RunFailed: the model has no projections there, as a mixture of experts has none in its MLP
    """
    from peft import LoraConfig, LoraModel

    chosen = projections(model, where)
    if not chosen:
        raise RunFailed(
            f"A {model.config.model_type} model has no linear modules in its {where} that low-rank additions could sit on."
        )
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        target_modules=list(chosen),
        fan_in_fan_out=any(is_turned(module) for module in chosen.values()),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(run.numbers("lora").integers(2**31)))
        return LoraModel(model, config, "default")
