"""Plausible wrong answers to forget questions, made by the model itself."""

from typing import Any

import numpy as np
import torch

from backend.context import RunContext
from backend.data import IGNORE, Examples, Task, answers_of, with_answers

ROWS = 512


@torch.no_grad()
def alternatives(model: Any, task: Task, run: RunContext, temperature: float) -> Examples:
    """The forget questions with answers that the model samples, as long as the true ones and never the same.

    The true first token is ruled out, so every alternative differs; the rest is sampled after it.
    """
    examples = task.train["forget"]
    truth = answers_of(examples)
    generator = run.generator("alternatives")
    made = [np.zeros(0, dtype=np.int64) for _ in truth]
    with run.meter.watching(model):
        for position in range(max(map(len, truth))):
            open_rows = [i for i, answer in enumerate(truth) if len(answer) > position]
            for start in range(0, len(open_rows), ROWS):
                rows = open_rows[start : start + ROWS]
                logits = _next(model, run, examples, rows, made) / temperature
                if position == 0:
                    first = torch.tensor([int(truth[i][0]) for i in rows], device=logits.device)
                    logits.scatter_(1, first[:, None], float("-inf"))
                drawn = torch.multinomial(logits.softmax(-1).cpu(), 1, generator=generator)[:, 0]
                for i, token in zip(rows, drawn.tolist(), strict=True):
                    made[i] = np.append(made[i], token)
    return with_answers(examples, made)


def _next(
    model: Any, run: RunContext, examples: Examples, rows: list[int], made: list[np.ndarray]
) -> torch.Tensor:
    """Logits of the token after each question and what was made of its answer, shape (rows, vocabulary)."""
    asked = with_answers(
        examples.take(np.array(rows)),
        [np.append(made[i], 0) for i in rows],  # the last token's place is the one asked for
    )
    ends = np.array([np.flatnonzero(row != IGNORE)[-1] for row in asked.targets])
    ids = torch.from_numpy(asked.input_ids).to(run.device)
    logits = model(ids, use_cache=False, return_dict=True).logits
    return logits[torch.arange(len(rows)), torch.from_numpy(ends)].float()
