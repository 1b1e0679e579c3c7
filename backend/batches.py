"""Examples as tensors: what a model is shown, and at which positions its answers are scored."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backend.data import IGNORE, Examples, with_answers


@dataclass(frozen=True)
class Batch:
    """Tensors of some examples on the model's device; `columns` are the positions that are scored."""

    input_ids: Tensor
    targets: Tensor  # one for every scored position, shape (scored,)
    columns: Tensor
    chosen: Tensor | None  # mask over rows × columns where not all of them are scored
    # Its scored tokens over the mean of the batches that make one step together: a mean over tokens counts so often.
    weight: float = 1.0
    # Where ranks share a batch: this one's items and scored tokens over the mean of all ranks'.
    items_share: float = 1.0
    tokens_share: float = 1.0

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


RESIDENT = 1 << 24  # tokens up to which a part of the data lies on the device as a whole
# Batches are this many tokens wide, or a multiple: few shapes, and such as matrix units like.
STEP = 8


class Loader:
    """Examples as tensors; `batch(indices)` selects rows. Large data stay where they are, on disk say, but for the batch.

    A batch ends with the last position that is scored in any of its rows: nothing behind it can change an answer.
    """

    def __init__(self, examples: Examples, where: torch.device):
        self.where, self.choices = where, examples.choices
        self._examples = examples
        self.columns = torch.from_numpy(examples.columns).to(where)
        self._rows = (examples.input_ids, examples.targets)
        self._everywhere = len(examples.columns) == examples.targets.shape[1]
        self.resident = examples.input_ids.size <= RESIDENT
        self.dense = False
        # Of every row, once known: its first scored column, the one after its last, and how many are scored.
        self._reach = np.full((len(examples), 3), -1)
        if self.resident:
            self.input_ids, self.targets = self._tensors(slice(None))
            self.dense = bool((self.targets != IGNORE).all())

    def __len__(self) -> int:
        return len(self._rows[0])

    @property
    def length(self) -> int:
        """Positions of a row as it is stored."""
        return int(self._rows[0].shape[1])

    def with_wrong_answers(self) -> Iterator["Loader"]:
        """The questions of a multiple choice with the first wrong answer of each, with the second, …"""
        assert self.choices is not None, "these questions have no wrong answers"
        for answers in zip(*self.choices.wrong, strict=True):
            yield Loader(with_answers(self._examples, list(answers)), self.where)

    def parts(self, rows: int) -> Iterator[Batch]:
        """All rows in their order, so many at a time."""
        for start in range(0, len(self), rows):
            yield self.batch(slice(start, start + rows))

    def batch(self, indices: Any) -> Batch:
        """The rows at `indices` (an index array or a slice)."""
        low, high, width = self._extent(indices)
        if self.resident:
            rows = indices if isinstance(indices, slice) else torch.as_tensor(indices)
            input_ids, targets = self.input_ids[rows], self.targets[rows]
        else:
            input_ids, targets = self._tensors(indices)
        input_ids, targets = input_ids[:, :width], targets[:, low:high]
        chosen = None if self.dense else targets != IGNORE
        if chosen is not None and bool(chosen.all()):
            chosen = None  # a block of text is scored everywhere, but the one at the end
        flat = targets.reshape(-1) if chosen is None else targets[chosen]
        return Batch(input_ids, flat, self.columns[low:high], chosen)

    def scored(self, rows: np.ndarray) -> np.ndarray:
        """How many tokens are scored in each of the rows of an index array."""
        return self._reached(rows)[:, 2]

    def _extent(self, indices: Any) -> tuple[int, int, int]:
        """The columns that rows are scored in, from and to, and how many positions lead there."""
        length, every = self.length, len(self.columns)
        if self.dense or not every:
            return 0, every, length
        rows = np.arange(len(self))[indices] if isinstance(indices, slice) else np.asarray(indices)
        reach = self._reached(rows)
        reach = reach[reach[:, 2] > 0]
        if not len(reach):
            return 0, every, length
        low, high = int(reach[:, 0].min()), int(reach[:, 1].max())
        end = int(self._examples.columns[high - 1]) + 1
        return low, high, min(length, -(-end // STEP) * STEP)

    def _reached(self, rows: np.ndarray) -> np.ndarray:
        new = rows[self._reach[rows, 2] < 0]
        if len(new):
            scored = np.asarray(self._rows[1][new])[:, self._examples.columns] != IGNORE
            last = scored.shape[1] - scored[:, ::-1].argmax(axis=1)
            self._reach[new] = np.stack([scored.argmax(axis=1), last, scored.sum(axis=1)], axis=1)
        return self._reach[rows]

    def _tensors(self, rows: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and the targets at the scored columns, both as 64-bit integers on the device."""
        inputs, targets = (np.asarray(array[rows], dtype=np.int64) for array in self._rows)
        scored = targets if self._everywhere else targets[:, self.columns.cpu().numpy()]
        return torch.from_numpy(inputs).to(self.where), torch.from_numpy(scored).to(self.where)
