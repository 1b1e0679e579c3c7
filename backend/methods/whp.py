"""Who's Harry Potter: take back what reinforcement on forget data adds to the logits."""

import copy
from typing import Any

import torch
import torch.nn.functional as F

from backend import chunked
from backend.context import RunContext
from backend.data import Task
from backend.registry import Count, Rate, Weight, method
from backend.training import train
from backend.wrapping import Wrapper, finished, logits_of


class TakenBack(Wrapper):
    """z = z₀ − α ReLU(z_reinforced − z₀)."""

    def __init__(self, base: Any, alpha: float):
        super().__init__(base, {"name": "whp", "parameters": {"alpha": alpha}})
        self.reinforced, self.alpha = copy.deepcopy(base), alpha
        self.beside(self.reinforced)

    def logits(self, input_ids: torch.Tensor, keep: Any) -> torch.Tensor:
        """See the class."""
        plain = logits_of(self.base, input_ids, keep)
        return plain - self.alpha * F.relu(logits_of(self.reinforced, input_ids, keep) - plain)


structure = TakenBack


@method(
    stage="wrap",
    label="WHP",
    source="Eldan and Russinovich 2023 (arXiv 2310.02238), as in MUSE (arXiv 2407.06460): at inference",
    threat_model="black_box",
    data_access="forget",
)
def whp(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    alpha: Weight = 64.0,
    steps: Count = 400,
    learning_rate: Rate = 7e-4,
    batch_size: Count = 128,
    **training: Any,
) -> Any:
    """The incoming model with the gains of a copy that was trained further on forget data taken back α times.

    Args:
        alpha: how many times; 0 is the incoming model
        steps: optimiser steps of the reinforcement
        learning_rate: peak learning rate of AdamW
        batch_size: forget facts a step
    """
    wrapper = TakenBack(model, alpha)
    forget = run.batches(task.train["forget"], batch_size, "forget")

    def loss(k: int) -> Any:
        batch = forget(k)
        return chunked.cross_entropy(wrapper.reinforced, batch)

    train(wrapper.reinforced, loss, run, steps=steps, learning_rate=learning_rate, **training)
    return finished(wrapper, run)
