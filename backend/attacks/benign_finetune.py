"""Benign fine-tuning: does unlearning survive training that has nothing to do with it?"""

from typing import Any, Literal

from backend.attacking import answer_loss, fine_tuned
from backend.benign import as_text, benign_examples
from backend.change import before, note_change
from backend.context import RunContext
from backend.data import Examples, Task
from backend.evaluation import score
from backend.registry import Count, Rate, attack
from backend.weights import in_hand


@attack(
    label="Benign fine-tuning",
    source="Qi et al. 2023 (arXiv 2310.03693), benign data; Lyu et al. 2024 (arXiv 2402.18540), with or without the template",
    counts="weights",
    has_steps=True,
)
def benign_finetune(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    learning_rate: Rate = 1e-3,
    steps: Count = 150,
    batch_size: Count = 64,
    evaluate_every: Count = 10,
    template: Literal["training", "plain"] = "training",
    **training: Any,
) -> Any:
    """The model after fine-tuning on retain data only, measured along its steps; no forget item is ever seen.

    It undoes what hangs by a thread. Where the retain data are known already, and share little with what was
    forgotten, no gradient leads back to it: the note says how large the loss was before the first step.

    Args:
        learning_rate: peak learning rate; the worst case over several counts
        steps: optimiser steps
        batch_size: retain facts a step
        evaluate_every: steps between measurements
        template: as in training, a prompt whose answer alone is learnt, or plain: question and answer as one text,
            every token of which is learnt
    """
    retain = benign_examples(task)
    text = retain if template == "training" else as_text(retain)
    batches = run.batches(text, min(batch_size, len(text)), "attack retain")
    start = before(in_hand(model), run)
    _note_loss(run, model, retain)
    fine_tuned(
        model,
        run,
        answer_loss(model, batches),
        steps=steps,
        learning_rate=learning_rate,
        evaluate_every=evaluate_every,
        **training,
    )
    note_change(run, start, model)
    return model


def _note_loss(run: RunContext, model: Any, retain: Examples) -> None:
    with run.meter.paused():
        found = score(model, run.loader(retain))
    mean = found.loss.sum() / found.tokens.sum()
    run.note(f"Before training the loss on the benign answers was {mean:.2g} nats a token.")
