"""Does a prompt belong to some data? A detector fitted to those data alone, layer by layer."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Detector(nn.Module):
    """Scores of prompts by their states in every block: 0 … 1 typical of the data, well above 1 foreign.

    The score is the largest over blocks of two distances to the fitted states, each over its median on them:
    Mahalanobis' (a Gaussian with as many principal directions as `components`, spherical beyond) and the cosine's to
    their mean. The largest, not the mean: which block tells the data apart is not known beforehand.
    """

    def __init__(self, blocks: int, width: int, components: int):
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(blocks, width), requires_grad=False)
        self.axes = nn.Parameter(torch.zeros(blocks, components, width), requires_grad=False)
        self.spread = nn.Parameter(torch.ones(blocks, components + 1), requires_grad=False)
        self.typical = nn.Parameter(torch.ones(2, blocks), requires_grad=False)
        self.limit = nn.Parameter(torch.ones(()), requires_grad=False)

    def distances(self, states: Tensor) -> Tensor:
        """Mahalanobis' and the cosine distance of states (rows, blocks, width), shape (2, rows, blocks)."""
        apart = states - self.centre
        along = torch.einsum("rbw,bcw->rbc", apart, self.axes)
        beyond = (apart.square().sum(-1) - along.square().sum(-1)).clamp(min=0)
        squared = torch.cat([along.square(), beyond[..., None]], dim=-1) / self.spread
        cosine = 1 - F.cosine_similarity(states, self.centre.expand_as(states), dim=-1)
        return torch.stack([squared.sum(-1).sqrt(), cosine])

    def scores(self, states: Tensor) -> Tensor:
        """How foreign every row is, shape (rows,)."""
        return (self.distances(states) / self.typical[:, None]).amax(dim=(0, 2))

    def belongs(self, states: Tensor, softness: float) -> Tensor:
        """A soft yes, shape (rows,): 1/2 at the limit, steeper the smaller `softness` is."""
        return torch.sigmoid((self.limit - self.scores(states)) / (softness * self.limit))

    @torch.no_grad()
    def fit(self, states: Tensor, held_out: Tensor, coverage: float) -> None:
        """Take in states of the data; the limit covers that share of the ones that were held out."""
        self.centre.copy_(states.mean(0))
        rest = states.shape[-1] - self.axes.shape[1]
        for block in range(states.shape[1]):
            apart = states[:, block] - self.centre[block]
            _, size, axes = torch.linalg.svd(apart, full_matrices=False)
            variance = size.square() / max(1, len(states) - 1)
            kept = min(self.axes.shape[1], len(axes))
            self.axes[block, :kept] = axes[:kept]
            # What lies beyond the axes is spherical; directions that hardly vary do not count more than that.
            sphere = variance[kept:].sum().clamp(min=1e-4 * variance.sum()) / max(1, rest)
            self.spread[block, :-1] = sphere
            self.spread[block, :kept] = variance[:kept].clamp(min=sphere)
            self.spread[block, -1] = sphere
        self.typical.copy_(self.distances(states).median(dim=1).values.clamp(min=1e-6))
        self.limit.copy_(self.scores(held_out).quantile(coverage))


def prompt_states(model: Any, input_ids: Tensor, position: int) -> Tensor:
    """What every block says at one position, shape (rows, blocks, width), in float32."""
    found = model(
        input_ids,
        logits_to_keep=1,
        use_cache=False,
        output_hidden_states=True,
        return_dict=True,
    )
    return torch.stack([h[:, position] for h in found.hidden_states[1:]], dim=1).float()
