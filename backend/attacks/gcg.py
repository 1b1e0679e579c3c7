"""Greedy coordinate gradient: tokens, the same in every question, searched for on some facts and asked on others."""

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from backend.attacking import PARTS, look, report
from backend.batches import Loader
from backend.context import RunContext
from backend.data import Examples, Task
from backend.evaluation import Scores, score
from backend.registry import Count, attack
from backend.suffixes import (
    Place,
    Prompted,
    embeddings_of,
    filled,
    frozen,
    losses_with,
    require_room,
    swap_gradients,
    swaps,
    with_room,
)
from backend.wrapping import inside


@attack(
    label="GCG",
    source="Zou et al. 2023 (arXiv 2307.15043), algorithms 1 and 2: top-k token gradients, random swaps, one suffix for all",
    counts="access",
    has_steps=True,
)
def gcg(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    length: Count = 5,
    place: Literal["before", "after"] = "after",
    steps: Count = 20,
    top_k: Count = 32,
    candidates: Count = 32,
    batch_size: Count = 24,
    evaluate_every: Count = 5,
) -> Any:
    """The model as it was, measured with the same searched tokens in every question; at step 0 without any.

    The search starts at random tokens. A step proposes swaps by the gradient and keeps the tokens with the least loss of
    the true answers on a batch of the attack part; those from before the step are among them. Behind a wrapper the
    gradient is that of the model inside, the losses are the wrapper's own.

    Args:
        length: tokens in every question
        place: before the question, or between it and its answer
        steps: rounds of swaps
        top_k: tokens of each place that the gradient proposes
        candidates: swaps that are tried a step
        batch_size: facts of the attack part a step
        evaluate_every: steps between measurements
    """
    generator = run.generator("gcg")
    tokens = torch.randint(model.config.vocab_size, (length,), generator=generator).to(run.device)
    require_room(run, model, length)
    batches = run.batches(with_room(run.split("attack"), length, place), batch_size, "attack")
    with frozen(model):
        look(run, model, 0, last=evaluate_every > steps)
        for step in range(1, steps + 1):
            run.check_cancelled()
            tokens = _swapped(run, model, batches(step - 1), tokens, top_k, candidates, generator)
            run.sink.progress(step, steps)
            if step % evaluate_every == 0:
                _look(run, model, tokens, place, step, last=step + evaluate_every > steps)
    run.steps += steps
    run.note(f"The tokens {place} every question are: {task.text(tokens.tolist())}")
    return model


def _swapped(
    run: RunContext,
    model: Any,
    batch: Any,
    tokens: Tensor,
    top_k: int,
    count: int,
    generator: torch.Generator,
) -> Tensor:
    """The tokens after one round."""
    core = inside(model)
    prompted = Prompted(core, embeddings_of(core, tokens))
    with run.meter.watching(prompted):
        gradients = swap_gradients(prompted, batch)
    tried = swaps(tokens, gradients, top_k, count, generator)
    with run.meter.watching(model):
        return tried[losses_with(model, batch, tried).argmin()]


def _look(
    run: RunContext, model: Any, tokens: Tensor, place: Place, step: int, *, last: bool
) -> None:
    """Measure with the tokens in every question of both parts."""

    def scored(examples: Examples) -> Scores:
        put = with_room(examples, len(tokens), place)
        ids = filled(torch.from_numpy(put.input_ids), tokens.cpu()).numpy()
        return score(model, Loader(replace(put, input_ids=ids), run.device))

    report(run, {part: scored(run.split(part)) for part in PARTS}, step, last=last)
