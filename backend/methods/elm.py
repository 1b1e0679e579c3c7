"""ELM: imitate oneself as one would answer as a novice."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from backend.context import RunContext
from backend.data import IGNORE, Task
from backend.losses import forward_divergence
from backend.models import frozen_copy, scored_logits
from backend.ranks import by_tokens
from backend.registry import Weight, method
from backend.suppression import Step, suppress


@method(
    stage="suppress",
    label="ELM",
    source="Gandikota et al. 2024 (arXiv 2410.02760), eq. 6; log p* = log p₀ + η (log p_novice − log p_expert)",
)
def elm(model: Any, task: Task, run: RunContext, *, eta: Weight = 2.0, **suppression: Any) -> Any:
    """The model after imitating p* on forget data.

    The paper makes novice and expert by contexts in words. Where a model follows no instruction the expert is the incoming
    model itself, and the novice one who knows only how common every answer is; without generated text there is no
    fluency term.

    Args:
        eta: how far from expert to novice; 1 is the novice, more moves beyond it
    """
    reference = frozen_copy(model)
    novice = answer_frequencies(task).log().to(run.device)

    @by_tokens
    def imitate(step: Step) -> Any:
        with torch.no_grad():
            target = erased(scored_logits(reference, step.forget), novice, eta)
        return forward_divergence(target, scored_logits(model, step.forget))

    with run.meter.watching(reference):
        return suppress(model, task, run, imitate, **suppression)


def erased(expert: torch.Tensor, novice: torch.Tensor, eta: float) -> torch.Tensor:
    """Normalised log p* from an expert's logits (scored, vocabulary) and a novice's log-probabilities."""
    known = F.log_softmax(expert.float(), dim=-1)
    return F.log_softmax(known + eta * (novice - known), dim=-1)


def answer_frequencies(task: Task) -> torch.Tensor:
    """How common every token is among all answers of the training data, one added to every count."""
    vocabulary = task.model["vocab_size"]
    counts = np.ones(vocabulary)
    for part in task.train.values():
        counts += np.bincount(part.targets[part.targets != IGNORE], minlength=vocabulary)
    return torch.from_numpy(counts / counts.sum()).float()
