"""Needle: disturb the value vectors of the neurons that carry the forget answers."""

from typing import Any, Literal

import torch

from backend.architecture import blocks, mlp_output, neuron_axis
from backend.context import RunContext
from backend.data import Task
from backend.registry import Share, Weight, method
from backend.saliency import neuron_attributions


@method(
    stage="suppress",
    label="Needle",
    families=["dense"],
    source="Hong et al. 2024 (ConceptVectors, arXiv 2406.11614), Needle: noise on located MLP value vectors",
    neutral={"how": "noise"},
)
def needle(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    share: Share = 0.05,
    noise: Weight = 10.0,
    how: Literal["noise", "zero"] = "noise",
) -> Any:
    """The model with the value vectors (columns of the down projections) of located neurons disturbed; no training.

    A neuron is located by how much more its activation changes the loss of forget answers than that of retain
    answers, to first order; the paper finds its vectors by their projection on the vocabulary, which takes words.

    Args:
        share: share of all neurons that is disturbed
        noise: standard deviation of the noise, in units of the vector's own root mean square
        how: noise is added to the vectors, or they are set to zero
    """
    forget = neuron_attributions(model, run, task.train["forget"])
    retain = neuron_attributions(model, run, task.train["retain"])
    ratio = torch.stack(forget) / (torch.stack(retain) + 1e-12)
    chosen = torch.zeros(ratio.numel(), dtype=torch.bool, device=ratio.device)
    chosen[ratio.flatten().topk(round(share * ratio.numel())).indices] = True
    generator = run.generator("needle")
    with torch.no_grad():
        for block, here in zip(blocks(model), chosen.view_as(ratio), strict=True):
            output = mlp_output(block)
            vectors = output.weight.movedim(neuron_axis(output), 1)  # a column a neuron, in place
            if how == "zero":
                vectors.mul_(~here)
                continue
            drawn = torch.randn(vectors.shape, generator=generator).to(vectors)
            size = vectors.square().mean(dim=0, keepdim=True).sqrt()
            vectors.add_(noise * size * drawn * here)
    return model
