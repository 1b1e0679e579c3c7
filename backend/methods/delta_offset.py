"""δ-unlearning: move a model's logits by what unlearning does to a smaller one."""

import copy
from typing import Any

import torch

from backend.context import RunContext
from backend.data import Task
from backend.losses import cross_entropy, uniform_divergence
from backend.models import scored_logits
from backend.registry import Count, Rate, method
from backend.training import train
from backend.wrapping import Wrapper, finished, first_layers, logits_of


class Offset(Wrapper):
    """log p = log p_L + w (log p_S-unlearned − log p_S)."""

    def __init__(self, base: Any, layers: int, weight: float):
        super().__init__(
            base, {"name": "delta_offset", "parameters": {"layers": layers, "weight": weight}}
        )
        self.small, self.weight = first_layers(base, layers), weight
        self.unlearned = copy.deepcopy(self.small)
        self.beside(self.small, self.unlearned)

    def logits(self, input_ids: torch.Tensor, keep: Any) -> torch.Tensor:
        """See the class."""
        models = (self.base, self.unlearned, self.small)
        plain, after, before = (logits_of(m, input_ids, keep) for m in models)
        return plain + self.weight * (after.log_softmax(-1) - before.log_softmax(-1))


structure = Offset


@method(
    stage="wrap",
    label="δ-offset",
    source="Huang et al. 2024 (arXiv 2404.11045), eq. 2; emulated fine-tuning of Mitchell et al. 2023 (arXiv 2310.12962)",
    threat_model="black_box",
)
def delta_offset(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    weight: float = 1.0,
    layers: Count = 1,
    small_steps: Count = 300,
    steps: Count = 100,
    learning_rate: Rate = 1e-3,
    batch_size: Count = 128,
    **training: Any,
) -> Any:
    """The incoming model moved by the difference that maximum entropy makes to a small model of its first blocks.

    Args:
        weight: w; 0 is the incoming model
        layers: blocks of the small model
        small_steps: optimiser steps in which the small model learns all data
        steps: optimiser steps in which its copy unlearns
        learning_rate: peak learning rate of AdamW
        batch_size: forget facts a step, and as many retain facts
    """
    wrapper = Offset(model, layers, weight)
    small, unlearned = wrapper.small, wrapper.unlearned
    forget, retain = run.forget_and_retain(batch_size)

    def learn(k: int) -> Any:
        found = [cross_entropy(scored_logits(small, b), b.targets) for b in (forget(k), retain(k))]
        return 0.5 * (found[0] + found[1])

    def unlearn(k: int) -> Any:
        kept = retain(k)
        keep = cross_entropy(scored_logits(unlearned, kept), kept.targets)
        return uniform_divergence(scored_logits(unlearned, forget(k))) + keep

    options = {"learning_rate": learning_rate, **training}
    # Where a resumed run is past the first training, the small model is among the tensors that were kept.
    train(small, learn, run, steps=small_steps, **options)
    for name, value in small.state_dict().items():
        run.tensors.setdefault(name, value.detach().clone())
    small.load_state_dict(run.tensors)
    unlearned.load_state_dict(run.tensors)
    train(unlearned, unlearn, run, steps=steps, **options)
    small.load_state_dict(run.tensors)
    return finished(wrapper, run)
