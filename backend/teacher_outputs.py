"""A frozen teacher's last hidden states for all training rows, made once: its body need not run again in every epoch."""

import os
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backend.chunked import Head, against_teacher, mean_loss, shared
from backend.context import Batches, RunContext
from backend.flops import forward_flops
from backend.models import scored_states
from backend.stage import RunFailed

TOKENS = 1 << 15  # input tokens of a pass that fills the memory


class Remembered:
    """The states of a teacher at every scored position of some examples, in the precision in which its head works.

    A state has as many numbers as the model is wide, far fewer than the vocabulary has words, and the head makes the very
    same distribution of it. They lie in the main memory, whatever the device.
    """

    def __init__(self, teacher: Any, head: Head, batches: Batches, run: RunContext):
        self.teacher, self.head, self.batches, self.run = teacher, head, batches, run
        loader = batches.loader
        self.starts = [0, *np.cumsum(loader.scored(np.arange(len(loader)))).tolist()]
        self._check_memory(self.starts[-1], head.weight.shape[1])
        self.states = self._filled()

    def divergence(self, student: Any, head: Head, k: int) -> Tensor:
        """Mean KL(T ‖ S) in nats at the scored positions of batch k, with the weight of the batch in its step."""
        batch = self.batches(k)
        states = self.of(k, batch.input_ids.device)
        found = mean_loss(scored_states(student, batch), head, against_teacher(states, self.head))
        return shared(found, batch)

    def of(self, k: int, device: torch.device) -> Tensor:
        """The teacher's states in batch k, shape (scored, width); their head's product is charged here."""
        rows = torch.from_numpy(self.batches.rows(k))
        places = [torch.arange(self.starts[r], self.starts[r + 1]) for r in rows.tolist()]
        found = self.states[torch.cat(places)].to(device)
        if self.run.meter.counting:
            self.run.meter.flops += 2.0 * self.head.weight.numel() * len(found)
        return found

    @torch.no_grad()
    def _filled(self) -> Tensor:
        """All states in the rows' order; the ledger is charged for the body alone, the head not having worked."""
        loader, config = self.batches.loader, self.teacher.config.to_dict()
        found: list[Tensor] = []
        for batch in loader.parts(max(1, TOKENS // loader.length)):
            with self.run.meter.paused():
                found.append(scored_states(self.teacher, batch).cpu())
            rows, length = batch.input_ids.shape
            self.run.meter.flops += forward_flops(config, rows, length, 0)
        return torch.cat(found)

    def _check_memory(self, tokens: int, width: int) -> None:
        needed = tokens * width * 4
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if needed > 0.8 * free:
            raise RunFailed(
                f"The teacher's states would take {needed / 2**30:.1f} GiB of the {free / 2**30:.1f} GiB of memory that"
                ' are free; distil with teacher_outputs = "recompute".'
            )
