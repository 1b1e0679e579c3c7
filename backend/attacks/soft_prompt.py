"""A universal soft prompt: embeddings, learnt on some facts and the same before every question, asked on others."""

from typing import Any

import torch

from backend.attacking import answer_loss, fine_tuned
from backend.context import RunContext
from backend.data import Task
from backend.registry import Count, Rate, attack
from backend.stage import NotApplicable
from backend.suffixes import PromptedFirst, embeddings_of, frozen, require_room
from backend.wrapping import inside


@attack(
    label="Soft prompt",
    source="Schwinn et al. 2024 (arXiv 2402.09063); universal and scored on other facts, since a soft prompt of its own"
    " makes any model say anything (arXiv 2502.15836)",
    counts="access",
    has_steps=True,
)
def soft_prompt(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    length: Count = 5,
    learning_rate: Rate = 1e-2,
    steps: Count = 100,
    batch_size: Count = 64,
    evaluate_every: Count = 20,
    **training: Any,
) -> Any:
    """The model as it was, measured behind a prompt that is learnt on the attack part; at step 0 without any.

    No weight changes; the prompt starts at the embeddings of random tokens.

    Args:
        length: embeddings before every question
        learning_rate: peak learning rate of AdamW; the worst case over several counts
        steps: optimiser steps
        batch_size: facts of the attack part a step
        evaluate_every: steps between measurements
    """
    if inside(model) is not model:
        raise NotApplicable("a wrapper reads tokens only, so no embeddings can be put before it")
    require_room(run, model, length)
    known = run.split("attack")
    generator = run.generator("soft prompt")
    tokens = torch.randint(model.config.vocab_size, (length,), generator=generator).to(run.device)
    with frozen(model):
        start = embeddings_of(model, tokens)
        prompted = PromptedFirst(model, start, known.input_ids.shape[1])
        loss = answer_loss(prompted, run.batches(known, batch_size, "attack"))
        fine_tuned(
            prompted,
            run,
            loss,
            steps=steps,
            learning_rate=learning_rate,
            evaluate_every=evaluate_every,
            attacked=lambda: model if torch.equal(prompted.prompt, start) else prompted,
            **training,
        )
    return model
