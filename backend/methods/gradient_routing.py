"""Gradient routing: Expand, Route, Ablate."""

from typing import Any, Literal

import torch

from backend.context import RunContext
from backend.data import Task
from backend.models import Batch, build
from backend.pretraining import answer_loss, from_scratch, labelled_share
from backend.registry import Count, Rate, Weight, Whole, method
from backend.routing import ablated, all_tokens, routed, token_weights
from backend.training import train


@method(
    stage="pretrain",
    label="Routing",
    source="Cloud et al. 2024 (arXiv 2410.04332): Expand, Route, Ablate; a ← m⊙a + (1 − m)⊙sg(a)",
)
def gradient_routing(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    routing: bool = True,
    by: Literal["token", "item"] = "item",
    extra_neurons: Count = 32,
    backflow: float = -0.75,
    sparsity: Weight = 1e-4,
    coherence_steps: Whole = 40,
    coherence_items: Count = 64,
    coherence_rate: Rate = 1e-3,
) -> Any:
    """The model whose forget knowledge was led into extra MLP neurons that were cut off in the end.

    On labelled forget items gradients reach the original neurons times a weight below 1, and the extra ones in full. By
    `token` the weight depends on how much commoner the next token is in labelled items than elsewhere, as in the paper;
    by `item` every token of a labelled item is routed. Attention, embeddings and the columns of the down projections
    are not gated (they never are in this method).

    Args:
        routing: False trains and cuts the same model without masks, the paper's control
        by: what decides how strongly a position is routed
        extra_neurons: neurons that every MLP has more until they are cut
        backflow: factor of the gradient to original neurons where routing is strongest; below 0 they unlearn
        sparsity: weight of the ℓ1 norm of the MLPs' activations
        coherence_steps: steps of fine-tuning on retain items after the cut
        coherence_items: retain items that these steps see
        coherence_rate: their learning rate
    """
    width = task.model["intermediate_size"]
    wide = build({**task.model, "intermediate_size": width + extra_neurons}, run.seed)
    weights = token_weights(task) if by == "token" else torch.zeros(len(task.words))
    weights = weights.to(run.device)

    def masked(batch: Batch) -> torch.Tensor:
        original = backflow + (1.0 - backflow) * weights[all_tokens(batch)]
        mask = torch.ones(*original.shape, width + extra_neurons, device=original.device)
        mask[..., :width] = original[..., None]
        return mask

    def loss(model: Any, batch: Batch, forget: bool) -> torch.Tensor:
        mask = masked(batch) if forget and routing else None
        with routed(model, mask) as activations:
            value = answer_loss(model, batch)
        size = torch.stack([a.abs().sum() / batch.input_ids.numel() for a in activations]).sum()
        return value + sparsity * size

    from_scratch(
        wide,
        run,
        labelled_share(task),
        lambda model, batch: loss(model, batch, True),
        lambda model, batch: loss(model, batch, False),
    )
    ablated(wide, model)
    chosen = run.numbers("coherence").permutation(len(task.train["retain"]))[:coherence_items]
    items = run.loader(task.train["retain"]).batch(torch.from_numpy(chosen))
    if coherence_steps:
        train(
            model,
            lambda k: answer_loss(model, items),
            run,
            steps=coherence_steps,
            learning_rate=coherence_rate,
        )
    return model
