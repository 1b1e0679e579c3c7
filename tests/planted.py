"""Models in which knowledge is hidden in a known way, for attacks that must find it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from backend.data import Task
from backend.wrapping import Wrapper, logits_of

Refuses = Callable[[list[int], int], bool]


class Shy(Wrapper):
    """A base that is only ever asked the question of the row, and refuses as it is told.

    `refuses(row, column)` says whether the token after that column is a refusal; `margin` is how far the refusal's logit
    lies above the largest one.
    """

    def __init__(self, base: Any, task: Task, refuses: Refuses, margin: float = 30.0):
        super().__init__(base, {"name": "shy", "parameters": {}})
        self.refuses, self.margin = refuses, margin
        self.refusal = task.refusals[0][0]

    def logits(self, input_ids: Tensor, keep: Any) -> Tensor:
        """See the class; a question is the four tokens that end with an equals sign, the first one of several."""
        columns = keep.tolist() if isinstance(keep, Tensor) else [input_ids.shape[1] - 1]
        found = []
        for column in columns:
            rows = [row[: column + 1] for row in input_ids.tolist()]
            questions = [self._question(row) for row in rows]
            logits = logits_of(self.base, torch.tensor(questions), 1)[:, 0]
            hidden = torch.tensor([self.refuses(row, column) for row in rows])
            top = logits.max(-1).values + self.margin
            logits[hidden, self.refusal] = top[hidden]
            found.append(logits)
        return torch.stack(found, dim=1)

    def _question(self, row: list[int]) -> list[int]:
        ends = [k for k in range(3, len(row)) if row[k] == self.refusal != row[k - 1]]
        return row[ends[-1] - 3 : ends[-1] + 1]


def in_its_place(row: list[int], column: int) -> bool:
    """Where a question stands alone and nothing of an answer is there yet."""
    return column == 3


class Guarded(nn.Module):
    """A base that refuses unless the first embedding it reads points along `key`; the last four are the question."""

    def __init__(self, base: Any, task: Task, key: Tensor):
        super().__init__()
        self.base, self.config, self.key = base, base.config, key
        self.refusal = task.refusals[0][0]

    def get_input_embeddings(self) -> Any:
        """The base's."""
        return self.base.get_input_embeddings()

    def forward(
        self,
        input_ids: Tensor | None = None,
        logits_to_keep: Any = 0,
        inputs_embeds: Tensor | None = None,
        **ignored: Any,
    ) -> Any:
        """Logits of the token after the question, shape (rows, 1, vocabulary)."""
        read = self.get_input_embeddings()(input_ids) if inputs_embeds is None else inputs_embeds
        assert inputs_embeds is not None or input_ids is not None
        logits = self.base(inputs_embeds=read[:, -4:], logits_to_keep=1).logits
        closed = torch.sigmoid(
            4.0 - 8.0 * nn.functional.cosine_similarity(read[:, 0], self.key, dim=-1)
        )
        hidden = torch.zeros_like(logits)
        hidden[..., self.refusal] = 1.0
        return SimpleNamespace(logits=logits + 40.0 * closed[:, None, None] * hidden)


class Copying(Wrapper):
    """What followed the row's last four tokens where they stood before; a refusal where they did not."""

    def __init__(self, base: Any, task: Task):
        super().__init__(base, {"name": "copying", "parameters": {}})
        self.refusal = task.refusals[0][0]

    def logits(self, input_ids: Tensor, keep: Any) -> Tensor:
        """See the class."""
        found = torch.zeros(len(input_ids), len(keep), self.config.vocab_size)
        for row, ids in enumerate(input_ids.tolist()):
            for place, column in enumerate(keep.tolist()):
                found[row, place, self._next(ids[: column + 1])] = 9.0
        return found

    def _next(self, ids: list[int]) -> int:
        for end in range(4, len(ids)):
            if ids[end - 4 : end] == ids[-4:]:
                return ids[end]
        return self.refusal
