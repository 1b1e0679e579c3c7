"""Parameter routing (SGTM): labelled forget items train a few weights, which are zeroed in the end."""

from typing import Any

import torch

from backend.architecture import blocks, mlp_inputs, mlp_output, neuron_axis
from backend.batches import Batch
from backend.context import RunContext
from backend.data import Task
from backend.losses import cross_entropy
from backend.pretraining import answer_loss, from_scratch, labelled_share, recover
from backend.registry import Count, Rate, Whole, method


@method(
    stage="pretrain",
    label="SGTM",
    families=["dense"],
    source="Shilov et al. 2025 (arXiv 2512.05648), selective gradient masking: forget data update designated weights alone,"
    " retain data are read without them; MLP neurons, no attention heads",
)
def parameter_routing(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    neurons: Count = 32,
    unlabelled_everywhere: bool = False,
    coherence_steps: Whole = 40,
    coherence_rate: Rate = 1e-3,
) -> Any:
    """The model whose last MLP neurons alone learnt from labelled forget items, and are zero now.

    All other items pass through the model as if these neurons were zero already, so that nothing leans on them.

    Args:
        neurons: designated neurons of every MLP: what is read into them and what they write
        unlabelled_everywhere: let all other items use and train the designated weights too
        coherence_steps: steps of fine-tuning on retain items after the weights are zeroed
        coherence_rate: their learning rate
    """
    masks = designated(model, neurons)

    def learn(model: Any, batch: Batch) -> torch.Tensor:
        return masked_loss(model, batch, masks)

    def keep(model: Any, batch: Batch) -> torch.Tensor:
        return answer_loss(model, batch) if unlabelled_everywhere else without(model, batch, masks)

    from_scratch(model, run, labelled_share(task), learn, keep)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.mul_(1.0 - masks[name])
    recover(
        model,
        run,
        coherence_steps,
        coherence_rate,
        loss=lambda model, batch: without(model, batch, masks),
    )
    return model


def designated(model: Any, neurons: int) -> dict[str, torch.Tensor]:
    """1 at the designated weights and 0 elsewhere, for every parameter by name."""
    masks = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    of = {id(weight): masks[name] for name, weight in model.named_parameters()}
    for block in blocks(model):
        output = mlp_output(block)
        of[id(output.weight)].movedim(neuron_axis(output), 0)[-neurons:] = 1.0
        for linear in mlp_inputs(block).values():
            of[id(linear.weight)].movedim(1 - neuron_axis(linear), 0)[-neurons:] = 1.0
            if linear.bias is not None:
                of[id(linear.bias)][-neurons:] = 1.0
    return masks


def masked_loss(model: Any, batch: Batch, masks: dict[str, torch.Tensor]) -> torch.Tensor:
    """The answers' loss, whose gradient reaches the weights inside the masks alone."""
    weights = {
        name: masks[name] * weight + (1.0 - masks[name]) * weight.detach()
        for name, weight in model.named_parameters()
    }
    return _loss_with(model, batch, weights)


def without(model: Any, batch: Batch, masks: dict[str, torch.Tensor]) -> torch.Tensor:
    """The answers' loss of the model with the weights inside the masks at zero."""
    weights = {name: (1.0 - masks[name]) * weight for name, weight in model.named_parameters()}
    return _loss_with(model, batch, weights)


def _loss_with(model: Any, batch: Batch, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    keywords = {"logits_to_keep": batch.columns, "use_cache": False, "return_dict": True}
    found = torch.func.functional_call(model, weights, (batch.input_ids,), keywords).logits
    logits = found.flatten(0, 1) if batch.chosen is None else found[batch.chosen]
    return cross_entropy(logits, batch.targets)
