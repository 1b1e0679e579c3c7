"""Gradient routing: Expand, Route, Ablate."""

from typing import Any, Literal

import torch

from backend import architecture
from backend.architecture import mlp_output, neurons
from backend.batches import Batch
from backend.context import RunContext
from backend.data import Task
from backend.pretraining import answer_loss, from_scratch, labelled_share, recover
from backend.registry import Count, Rate, Weight, Whole, method
from backend.routing import Scheme, ablated, all_tokens, expanded, routed, token_weights


@method(
    stage="pretrain",
    label="Routing",
    families=["dense"],
    source="Cloud et al. 2024 (arXiv 2410.04332): Expand, Route, Ablate; a ← m⊙a + (1 − m)⊙sg(a)",
)
def gradient_routing(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    routing: bool = True,
    by: Literal["token", "item"] = "item",
    extra_neurons: Count = 64,
    layers: Whole = 0,
    original_on_forget: float = -0.75,
    extra_on_forget: float = 1.0,
    original_on_retain: float = 1.0,
    extra_on_retain: float = 1.0,
    sparsity: Weight = 1e-4,
    coherence_steps: Whole = 40,
    coherence_items: Whole = 0,
    coherence_rate: Rate = 1e-3,
) -> Any:
    """The model whose forget knowledge was led into extra MLP neurons that were cut off in the end.

    On labelled forget items the gradient of every MLP activation is multiplied by a weight; below 0 the neurons unlearn.
    By `token` a position is routed by how much commoner its next token is in labelled items than elsewhere, as in the
    paper; by `item` every position of a labelled item is. Attention, embeddings and the columns of the down projections
    are not gated: they never are in this method.

    Args:
        routing: False trains and cuts the same model without masks, the paper's control
        by: what decides how strongly a position is routed
        extra_neurons: neurons that an MLP has more until they are cut
        layers: blocks, from the first, that get them and are routed; 0 is all
        original_on_forget: weight of the original neurons' gradients where forget data are routed
        extra_on_forget: the extra neurons' weight there
        original_on_retain: weight of the original neurons' gradients on all other data
        extra_on_retain: the extra neurons' weight there; above 0 they can take up what unlabelled data share with forget
            data
        sparsity: weight of the ℓ1 norm of the widened MLPs' activations, a token
        coherence_steps: steps of fine-tuning on retain items after the cut
        coherence_items: retain items that these steps see; 0 is all
        coherence_rate: their learning rate
    """
    scheme = Scheme(original_on_forget, extra_on_forget, original_on_retain, extra_on_retain)
    listed = architecture.blocks(model)
    blocks, original = layers or len(listed), neurons(mlp_output(listed[0]))
    wide = expanded(model, extra_neurons, blocks, run.numbers("extra neurons"))
    weights = token_weights(task) if by == "token" else torch.zeros(len(task.words))
    weights = weights.to(run.device)

    def loss(model: Any, batch: Batch, forget: bool) -> torch.Tensor:
        tokens = all_tokens(batch)
        retain = weights[tokens] if forget else torch.ones_like(tokens, dtype=weights.dtype)
        mask = scheme.mask(retain, original, extra_neurons)
        with routed(model, mask if routing else None, blocks) as activations:
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
    recover(model, run, coherence_steps, coherence_rate, coherence_items)
    return model
