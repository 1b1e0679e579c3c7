"""Needle: disturb the value vectors of the neurons that carry the forget answers."""

from typing import Any

import torch

from backend.context import RunContext
from backend.data import Task
from backend.registry import Share, Weight, method
from backend.saliency import neuron_attributions


@method(
    stage="suppress",
    label="Needle",
    source="Hong et al. 2024 (ConceptVectors, arXiv 2406.11614), Needle: noise on located MLP value vectors",
)
def needle(
    model: Any, task: Task, run: RunContext, *, share: Share = 0.3, noise: Weight = 3.0
) -> Any:
    """The model with noise on the value vectors (columns of the down projections) of located neurons; no training.

    A neuron is located by how much more its activation changes the loss of forget answers than that of retain
    answers, to first order; the paper finds its vectors by their projection on the vocabulary, which takes words.

    Args:
        share: share of all neurons that is disturbed
        noise: standard deviation of the noise, in units of the vector's own root mean square
    """
    forget = neuron_attributions(model, run, task.train["forget"])
    retain = neuron_attributions(model, run, task.train["retain"])
    ratio = torch.stack(forget) / (torch.stack(retain) + 1e-12)
    chosen = torch.zeros(ratio.numel(), dtype=torch.bool, device=ratio.device)
    chosen[ratio.flatten().topk(round(share * ratio.numel())).indices] = True
    generator = run.generator("needle")
    with torch.no_grad():
        for block, here in zip(model.model.layers, chosen.view_as(ratio), strict=True):
            vectors = block.mlp.down_proj.weight
            drawn = torch.randn(vectors.shape, generator=generator).to(vectors)
            size = vectors.square().mean(dim=0, keepdim=True).sqrt()
            vectors.add_(noise * size * drawn * here)
    return model
