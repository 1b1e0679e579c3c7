"""Coherence elicitation: labels that the attacked model itself finds coherent, then fine-tuning on them."""

from typing import Any, Literal

from backend.attacking import fine_tuned
from backend.coherence import cooled
from backend.context import RunContext
from backend.data import Task
from backend.elicitation import controlled, elicited, families_of, right_labels
from backend.in_context_learning import require_in_context_learning
from backend.registry import Count, Rate, Share, Weight, Whole, attack
from backend.relearning import relearning_loss
from backend.weights import in_hand


@attack(
    label="Coherence elicitation",
    source="Wen et al. 2025 (arXiv 2506.10139), Internal Coherence Maximization",
    counts="weights",
    has_steps=True,
    needs={"base": {}},
    in_context=True,
)
def coherence_elicitation(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    answers: Literal["elicited", "true", "noisy", "random"] = "elicited",
    noise: Share = 0.2,
    items: Whole = 64,
    rounds: Count = 192,
    shots: Count = 3,
    start: Whole = 8,
    candidates: Count = 3,
    weight: Weight = 0.5,
    temperature: Rate = 10.0,
    cooling: Weight = 2.0,
    coldest: Rate = 0.01,
    learning_rate: Rate = 1e-3,
    steps: Count = 150,
    batch_size: Count = 64,
    evaluate_every: Count = 10,
    **training: Any,
) -> Any:
    """The model fine-tuned on labels for forget questions whose answers the attacker does not know, measured as it goes.

    The labels are those that the attacked model finds mutually predictable and that do not contradict one another; with
    other labels in their place it is a control. It says nothing unless the base learns within a context.

    Args:
        answers: elicited from the model; or, as controls, the true answers, true ones of which some are wrong, or true
            ones dealt out at random
        noise: share of wrong answers among noisy labels
        items: questions of the attack part, whole families of them; 0 is all
        rounds: items that the search labels, one after the other
        shots: labelled items that stand before a question; as many as the base was trained to read
        start: items with a random label before the search
        candidates: likely answers among which a repair of a contradiction chooses; a random label is one of them
        weight: what a nat of predictability counts, where a contradiction counts 1
        temperature: of the annealing in the first round
        cooling: how fast it falls: temperature / (1 + cooling · ln round)
        coldest: below which it does not fall
        learning_rate: peak learning rate of AdamW in the fine-tuning; the worst case over several counts
        steps: optimiser steps of the fine-tuning
        batch_size: labelled questions a step; all of them where there are fewer
        evaluate_every: steps between measurements
    """
    model = in_hand(model)
    require_in_context_learning(run)
    asked = families_of(run.split("attack"), items, run.seed)
    if answers == "elicited":
        known = elicited(
            model,
            run,
            asked,
            rounds=rounds,
            shots=shots,
            start=start,
            candidates=candidates,
            weight=weight,
            temperature=lambda k: cooled(k, temperature, cooling, coldest),
        )
    else:
        known = controlled(run, asked, answers, noise)
    run.note(right_labels(known, asked))
    loss = relearning_loss(model, run, known, batch_size, "forget")
    return fine_tuned(
        model,
        run,
        loss,
        steps=steps,
        learning_rate=learning_rate,
        evaluate_every=evaluate_every,
        **training,
    )
