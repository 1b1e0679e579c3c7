"""In-context unlearning: demonstrations of refusal before every question."""

from typing import Any

import numpy as np
import torch

from backend.context import RunContext
from backend.data import IGNORE, Task
from backend.refusals import refusal_tokens
from backend.registry import Count, method
from backend.wrapping import Wrapper, finished, logits_of


class InContext(Wrapper):
    """The base after the same tokens before every question."""

    def __init__(self, base: Any, length: int):
        super().__init__(base, {"name": "in_context_unlearning", "parameters": {"length": length}})
        # A parameter without gradients, so that it is part of the checkpoint; token numbers are exact in float32.
        self.context = torch.nn.Parameter(torch.zeros(length), requires_grad=False)
        self.overhead = (length + 4) / 4

    def logits(self, input_ids: torch.Tensor, keep: Any) -> torch.Tensor:
        """See the class."""
        before = self.context.long().expand(len(input_ids), -1).to(input_ids.device)
        shifted = keep + len(self.context) if isinstance(keep, torch.Tensor) else keep
        found = logits_of(self.base, torch.cat([before, input_ids], dim=1), shifted)
        some = isinstance(keep, torch.Tensor) or keep > 0
        return found if some else found[:, len(self.context) :]


structure = InContext


@method(
    stage="wrap",
    label="In context",
    source="Pawelczyk et al. 2023 (arXiv 2310.07579), in-context unlearning: forget items with other labels in the prompt",
    threat_model="black_box",
)
def in_context_unlearning(
    model: Any, task: Task, run: RunContext, *, demonstrations: Count = 4
) -> Any:
    """The incoming model behind a prompt that shows forget questions, refused; no weight changes.

    Args:
        demonstrations: refused forget questions in the prompt
    """
    examples = task.train["forget"]
    refused = refusal_tokens(task, run)
    chosen = run.numbers("demonstrations").permutation(len(examples))[:demonstrations]
    tokens: list[int] = []
    for item in chosen:
        first = int(np.flatnonzero(examples.targets[item] != IGNORE)[0])
        tokens += [*examples.input_ids[item, : first + 1].tolist(), *refused[item].tolist()]
    wrapper = InContext(model, len(tokens))
    with torch.no_grad():
        wrapper.context.copy_(torch.tensor(tokens, dtype=torch.float32))
    return finished(wrapper.to(run.device), run)
