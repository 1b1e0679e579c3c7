"""RepNoise: make the representation of forget data look like noise at every depth."""

from typing import Any

import torch

from backend.batches import Batch
from backend.context import RunContext
from backend.data import Task
from backend.flops import BACKWARD
from backend.losses import cross_entropy
from backend.registry import Rate, Weight, method
from backend.representations import mlp_outputs, mmd, read_off
from backend.suppression import Step, suppress


@method(
    stage="suppress",
    label="RepNoise",
    source="Rosati et al. 2024 (arXiv 2405.14577), eq. 5; CE(retain) + β mean MMD(MLP outputs, noise) − α log(1 + mean CE by depth)",
    version=2,
)
def rep_noise(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    alpha: Weight = 1.0,
    beta: Weight = 1.0,
    learning_rate: Rate = 1e-3,
    **suppression: Any,
) -> Any:
    """The model whose MLP outputs at forget answers resemble a Gaussian, and whose every depth fails on them.

    The paper masks the tokens in which harmful and harmless texts differ; here these are the scored ones.

    Args:
        alpha: weight of the ascent on the answers' loss, read at every depth through the model's own head
        beta: weight of the distance between MLP outputs and noise
        learning_rate: peak learning rate of AdamW
    """

    def disturb(step: Step) -> Any:
        states, losses = at_every_depth(model, step.forget)
        run.meter.flops += early_heads(model.config, step.forget)
        noise = torch.stack([mmd(state, torch.randn_like(state)) for state in states]).mean()
        return beta * noise - alpha * torch.log1p(torch.stack(losses).mean())

    return suppress(model, task, run, disturb, learning_rate=learning_rate, **suppression)


def at_every_depth(model: Any, batch: Batch) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """(MLP outputs at the scored positions, each (scored, width); losses of the answers read off after every block)."""
    with mlp_outputs(model) as seen:
        found = model(
            batch.input_ids,
            logits_to_keep=batch.columns,
            use_cache=False,
            output_hidden_states=True,
            return_dict=True,
        )
    early = [picked(state[:, batch.columns], batch) for state in found.hidden_states[1:-1]]
    logits = [*(read_off(model, state) for state in early), picked(found.logits, batch)]
    losses = [cross_entropy(one, batch.targets) for one in logits]
    return [picked(output[:, batch.columns], batch) for output in seen], losses


def early_heads(config: Any, batch: Batch) -> float:
    """FLOPs of reading answers off below the last block, forward and backward; the pass itself counts without them."""
    head = 2.0 * config.hidden_size * config.vocab_size * len(batch.targets)
    return (1.0 + BACKWARD) * (config.num_hidden_layers - 1) * head


def picked(values: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Of values (rows, columns, …) those at the scored positions, shape (scored, …)."""
    return values.flatten(0, 1) if batch.chosen is None else values[batch.chosen]
