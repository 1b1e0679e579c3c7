"""Concept similarity: are the MLP's value vectors that carry the forgotten knowledge still what they were?"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from backend.architecture import head, mlp_output, neuron_axis
from backend.examination import Examination, Readings
from backend.layerwise import blocks_of, layer_name, same_shape
from backend.registry import Count, metric
from backend.saliency import neuron_attributions
from backend.stage import NotApplicable


@metric(
    label="concept vector similarity",
    source="ConceptVectors, Hong et al. 2024 (arXiv 2406.11614): cosine and Jaccard before and after",
    direction="up",
    floor=None,
    unit="",
    range=[-1.0, 1.0],
    level="pair",
    takes="examination",
)
def concept_similarity(
    examined: Examination, *, vectors: Count = 32, tokens: Count = 10
) -> Readings:
    """The mean cosine between the base's value vectors that carry the forget facts and the model's in the same place.

    A value vector is what one MLP neuron writes, a column of its projection to the residual stream. Those with the largest attribution to the
    base's forget loss minus that to its retain loss count, over all layers. 1 where they are untouched, so where the
    knowledge is hidden elsewhere. `top tokens` is the mean Jaccard index of the tokens that each vector promotes most
    through its own model's head; `layer k` the cosine of the vectors in that layer.

    Args:
        vectors: how many value vectors count
        tokens: how many of its top tokens stand for a vector
    """
    base, model = examined.of("base"), examined.of("model")
    same_shape(base, model)
    before, after = _values(base), _values(model)
    if [v.shape for v in before] != [v.shape for v in after]:
        raise NotApplicable("the models that are compared differ in shape")
    layer, neuron = _carriers(examined, base, vectors)
    mine, theirs = (
        torch.stack([values[i][:, j] for i, j in zip(layer.tolist(), neuron.tolist(), strict=True)])
        for values in (after, before)
    )
    same = F.cosine_similarity(mine, theirs, dim=-1).clamp(-1, 1)
    overlap = _overlap(_top(model, mine, tokens), _top(base, theirs, tokens))
    found: dict[str | tuple[str, str], float] = {
        "model": float(same.mean()),
        ("model", "top tokens"): overlap,
    }
    for one in layer.unique().tolist():
        found["model", layer_name(one)] = float(same[layer == one].mean())
    return found


def _values(model: Any) -> list[Tensor]:
    """Of every block the value vectors as columns, shape (width, neurons)."""
    outputs = [mlp_output(block) for block in blocks_of(model)]
    return [o.weight.detach().float().movedim(neuron_axis(o), 1) for o in outputs]


def _carriers(examined: Examination, base: Any, count: int) -> tuple[Tensor, Tensor]:
    """Layers and neurons of the base that matter most for forget items beyond what they do for retain items."""
    forget, retain = (
        neuron_attributions(base, examined.run, examined.task.train[part])
        for part in ("forget", "retain")
    )
    excess = torch.stack([f - r for f, r in zip(forget, retain, strict=True)])
    chosen = excess.flatten().topk(min(count, excess.numel())).indices.cpu()
    return chosen // excess.shape[1], chosen % excess.shape[1]


def _top(model: Any, vectors: Tensor, count: int) -> Tensor:
    return head(model)(vectors).topk(min(count, model.config.vocab_size)).indices


def _overlap(one: Tensor, other: Tensor) -> float:
    """Mean Jaccard index of the rows' sets, all of the same size."""
    common = (one[:, :, None] == other[:, None]).any(-1).sum(-1)
    return float((common / (2 * one.shape[1] - common)).mean())
