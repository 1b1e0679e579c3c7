"""Answers that a model gives when it is asked at temperature 1."""

from dataclasses import replace
from typing import Any

import torch

from backend.batches import Batch


@torch.no_grad()
def sampled_answers(model: Any, batch: Batch) -> Batch:
    """The same questions with answers that the model drew, token by token, each as long as the true one.

    Later tokens of an answer see the drawn ones before them, so it takes one pass for every scored column. Draws come
    from torch's global generator, which the training loop seeds anew for every step.
    """
    ids = batch.input_ids.clone()
    drawn = ids.new_zeros(len(ids), len(batch.columns))
    chosen = torch.ones_like(drawn, dtype=torch.bool) if batch.chosen is None else batch.chosen
    for place in range(len(batch.columns)):
        column = batch.columns[place : place + 1]
        found = model(ids, logits_to_keep=column, use_cache=False, return_dict=True).logits[:, 0]
        drawn[:, place] = torch.multinomial(found.float().softmax(-1), 1)[:, 0]
        after = int(column) + 1
        if after < ids.shape[1]:
            ids[:, after] = torch.where(chosen[:, place], drawn[:, place], ids[:, after])
    targets = drawn.flatten() if batch.chosen is None else drawn[chosen]
    return replace(batch, input_ids=ids, targets=targets)
