"""Depth by token: how far from the base is the model at the first answer token, the second, and so on?"""

import numpy as np
import torch
from torch import Tensor

from backend.batches import Loader
from backend.evaluation import ROWS
from backend.examination import Examination, Readings
from backend.losses import item_means
from backend.models import scored_logits
from backend.registry import Count, metric


@metric(
    label="divergence from the base by token",
    source="Qi et al. 2024 (arXiv 2406.05946): KL by position shows what is only a few tokens deep",
    direction="down",
    floor=None,
    unit="nats",
    range=[0.0, None],
    level="pair",
    takes="examination",
)
def depth_by_token(examined: Examination, *, positions: Count = 32) -> Readings:
    """KL(model ‖ base) at every answer token, the true answer given: an item's mean, and by category `token k`.

    Unlearning that is a few tokens deep diverges at token 1 and hardly later: who begins the answer has the rest. 0
    everywhere for the base. Where answers are one token long, there is that one only. It compares what comes out, so
    knowledge hidden behind every token of an answer looks like knowledge removed.

    Args:
        positions: so many tokens have a category of their own; all count in the mean
    """
    found: dict[str | tuple[str, str], np.ndarray] = {}
    model, base = examined.of("model"), examined.of("base")
    for split in ("forget_score", "retain_score"):
        loader = examined.loader(split)
        values, rows = _divergences(model, base, loader)
        found[split] = item_means(values, rows, len(loader)).numpy()
        place = _places(rows)
        for k in range(min(positions, int(place.max()) + 1)):
            found[split, f"token {k + 1}"] = values[place == k].numpy()
    return found


@torch.no_grad()
def _divergences(
    model: torch.nn.Module, base: torch.nn.Module, loader: Loader
) -> tuple[Tensor, Tensor]:
    """KL at every scored token, and the item that it belongs to, on the CPU."""
    values, rows, before = [], [], 0
    for batch in loader.parts(ROWS):
        mine, theirs = (scored_logits(m, batch).double().log_softmax(-1) for m in (model, base))
        values.append((mine.exp() * (mine - theirs)).sum(-1).cpu())
        rows.append(batch.rows.cpu() + before)
        before += len(batch.input_ids)
    return torch.cat(values), torch.cat(rows)


def _places(rows: Tensor) -> Tensor:
    """Which of its item's scored tokens each one is, 0 the first; tokens of an item stand together."""
    counts = torch.bincount(rows)
    starts = torch.cumsum(counts, 0) - counts
    return torch.arange(len(rows)) - starts[rows]
