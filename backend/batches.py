"""Examples as tensors: what a model is shown, and at which positions its answers are scored."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backend.data import IGNORE, Examples


@dataclass(frozen=True)
class Batch:
    """Tensors of some examples on the model's device; `columns` are the positions that are scored."""

    input_ids: Tensor
    targets: Tensor  # one for every scored position, shape (scored,)
    columns: Tensor
    chosen: Tensor | None  # mask over rows × columns where not all of them are scored

    @property
    def rows(self) -> Tensor:
        """The example that every scored position belongs to, shape (scored,)."""
        if self.chosen is not None:
            return self.chosen.nonzero()[:, 0]
        rows = torch.arange(len(self.input_ids), device=self.input_ids.device)
        return rows.repeat_interleave(len(self.columns))

    @property
    def tokens(self) -> int:
        """Input tokens of the batch."""
        return self.input_ids.numel()


class Loader:
    """Examples as tensors, made once; `batch(indices)` selects rows."""

    def __init__(self, examples: Examples, where: torch.device):
        self.columns = torch.from_numpy(examples.columns).to(where)
        targets = torch.from_numpy(examples.targets[:, examples.columns])
        self.input_ids = torch.from_numpy(examples.input_ids).to(where)
        self.targets = targets.to(where)
        self.dense = bool((targets != IGNORE).all())

    def __len__(self) -> int:
        return len(self.input_ids)

    def parts(self, rows: int) -> Iterator[Batch]:
        """All rows in their order, so many at a time."""
        for start in range(0, len(self), rows):
            yield self.batch(slice(start, start + rows))

    def batch(self, indices: Any) -> Batch:
        """The rows at `indices` (an index array or a slice)."""
        rows = indices if isinstance(indices, slice) else torch.as_tensor(indices)
        targets = self.targets[rows]
        chosen = None if self.dense else targets != IGNORE
        flat = targets.reshape(-1) if chosen is None else targets[chosen]
        return Batch(self.input_ids[rows], flat, self.columns, chosen)
