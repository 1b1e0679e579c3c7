"""TAR: train so that an attack that is simulated along the way does not get far."""

import copy
from typing import Any

import torch
import torch.nn.functional as F

from backend.batches import Batch
from backend.context import RunContext
from backend.data import Task
from backend.losses import cross_entropy
from backend.models import scored_logits
from backend.registry import Count, Rate, Weight, method
from backend.suppression import Step, suppress


@method(
    stage="suppress",
    label="TAR",
    source="Tamirisa et al. 2024 (arXiv 2408.00761), algorithm 1; λ·(−entropy after K attack steps) + w·CE(retain), first order",
    version=2,
)
def tar(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    inner_steps: Count = 4,
    inner_rates: list[float] = [3e-4, 1e-3, 3e-3],  # noqa: B006  (a literal that the catalogue can read)
    inner_batch: Count = 64,
    forget_weight: Weight = 4.0,
    learning_rate: Rate = 1e-3,
    **suppression: Any,
) -> Any:
    """The model whose answers to forget questions stay spread out although an adversary fine-tunes it.

    The gradient of the attacked copy's loss is applied to the model itself, as if the attack had not moved it. The
    adversary moves the weights that are trained: all of them, or an adapter's.

    Args:
        inner_steps: steps K of the simulated attack
        inner_rates: learning rates of the simulated attack, taken in turn
        inner_batch: forget facts a step of it
        forget_weight: weight of the attacked copy's loss
        learning_rate: peak learning rate of AdamW
    """
    attack = run.batches(task.train["forget"], inner_batch, "adversary")
    # Made here once: a copy that is taken during the training would bring the meter's hook along and count twice.
    attacked = copy.deepcopy(model)

    def resist(step: Step) -> Any:
        batches = [attack(step.k * inner_steps + i) for i in range(inner_steps)]
        rate = inner_rates[step.k % len(inner_rates)]
        return resistance(model, attacked, batches, step.forget, rate)

    with run.meter.watching(attacked):
        return suppress(
            model,
            task,
            run,
            resist,
            forget_weight=forget_weight,
            learning_rate=learning_rate,
            **suppression,
        )


def resistance(
    model: Any, attacked: Any, attack: list[Batch], batch: Batch, rate: float
) -> torch.Tensor:
    """−entropy of the answers of the model's attacked copy, with its gradient handed to the model's own weights.

    The copy is overwritten: it takes the model's weights, then one step of AdamW for every batch of the attack.
    """
    attacked.load_state_dict(model.state_dict())
    own = [weight for weight in model.parameters() if weight.requires_grad]
    moved = [weight for weight in attacked.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(moved, lr=rate, weight_decay=0.0)
    for one in attack:
        optimizer.zero_grad()
        cross_entropy(scored_logits(attacked, one), one.targets).backward()
        optimizer.step()
    loss = negative_entropy(scored_logits(attacked, batch))
    pairs = zip(own, torch.autograd.grad(loss, moved), strict=True)
    handed = torch.stack([(weight * gradient).sum() for weight, gradient in pairs]).sum()
    return loss.detach() + handed - handed.detach()


def negative_entropy(logits: torch.Tensor) -> torch.Tensor:
    """Mean Σ p log p over tokens, in nats."""
    log_p = F.log_softmax(logits.float(), dim=-1)
    return (log_p.exp() * log_p).sum(-1).mean()
