"""What attacks share: which data they may use, and measuring what they bring back.

An attacker chooses on the validation part and is scored on the score part, so both are measured at every look.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from backend import chunked
from backend.context import Batches, RunContext
from backend.data import IGNORE, Examples, stream
from backend.evaluation import Scores, answers, item_row, measure, score
from backend.ranks import by_rows
from backend.stage import Measured, NotApplicable
from backend.training import train

PARTS = ("validation", "score")
Loss = Callable[[int], Any]


def look(run: RunContext, model: Any, step: int, *, last: bool = False) -> None:
    """Measure the attacked model on the questions as they stand."""
    with run.meter.paused():
        found = {part: score(model, run.loader(run.split(part))) for part in PARTS}
    report(run, found, step, last=last)


def report(
    run: RunContext, found: dict[str, Scores], step: int, *, last: bool = False, tries: int = 1
) -> None:
    """Record the setting's metrics of both parts, what the attacker spent so far, and at last some answers.

    `tries` are the answers to a question of which one may be right: so often chance has a chance.
    """
    run.sink.record([Measured("attacker_flops", "attacker", run.meter.flops, step)])
    if tries > 1:
        run.sink.record([Measured("tries", "attacker", float(tries), step)])
    for part, scores in found.items():
        name = f"{run.target}_{part}"
        scored = part == "score"
        run.sink.record(measure(scores, run.task, name, step, categories=scored, keep_items=scored))
        if scored and last:
            run.sink.samples(answers(scores, run.task, name, step))


def report_own(run: RunContext, metric: str, found: dict[str, np.ndarray], step: int = 1) -> None:
    """Record an attack's own score: the value of every item, by part."""
    run.sink.record([Measured("attacker_flops", "attacker", run.meter.flops, step)])
    for part, values in found.items():
        split = f"{run.target}_{part}"
        run.sink.record([item_row(metric, split, values, step, keep=part == "score")])


def best_of(attempts: Sequence[Scores]) -> Scores:
    """For every item the attempt that counts: the first right one, else the one with the smallest loss a token."""
    loss = np.stack([a.loss / a.tokens for a in attempts])
    right = np.stack([_answered(a) for a in attempts])
    chosen = np.where(right.any(0), right.argmax(0), loss.argmin(0))

    def pick(name: str) -> list[np.ndarray]:
        return [getattr(attempts[k], name)[i] for i, k in enumerate(chosen)]

    return Scores(
        loss=np.array(pick("loss")),
        tokens=np.array(pick("tokens")),
        correct=np.array(pick("correct")),
        predicted=pick("predicted"),
        token_losses=pick("token_losses"),
        token_right=pick("token_right"),
        choices=None if attempts[0].choices is None else np.array(pick("choices")),
        characters=attempts[0].characters,
    )


def _answered(scores: Scores) -> np.ndarray:
    """Which items were answered right: written, or chosen where there is a choice."""
    chosen = scores.choices
    return scores.correct if chosen is None else chosen.argmin(axis=1) == 0


def rewrites_of(run: RunContext, group: str) -> dict[str, Callable[[Examples], Examples]]:
    """A group of the setting's rewrites by name; NotApplicable where it has none."""
    found = run.task.rewrites.get(group, {})
    if not found:
        raise NotApplicable(
            f"the setting {run.task.name} puts its questions in no other way of the kind {group}"
        )
    return found


def chosen_examples(
    run: RunContext, model: Any, count: int, choose: Literal["random", "hurt"]
) -> Examples:
    """`count` items of the attack part (0 is all): drawn at random, nested by count, or those that lost the most.

    What was hurt most is what an attacker who knows the answers would train on: the items with the largest loss.
    """
    examples = run.split("attack")
    if count == 0 or count >= len(examples):
        return examples
    if choose == "hurt":
        found = score(model, run.loader(examples))
        order = np.argsort(-(found.loss / found.tokens), kind="stable")
    else:
        order = stream(run.seed, "attack examples").permutation(len(examples))
    return examples.take(np.sort(order[:count]))


def answer_loss(model: Any, batches: Batches) -> Loss:
    """The cross-entropy of batch k's answers."""

    @by_rows
    def loss(k: int) -> Any:
        batch = batches(k)
        return chunked.cross_entropy(model, batch)

    return loss


def mixed_with(model: Any, run: RunContext, batches: Batches) -> Loss:
    """The mean of the answers' loss and that of as many retain facts."""
    size = batches.order.size
    retain = answer_loss(model, run.batches(run.task.train["retain"], size, "attack retain"))
    forget = answer_loss(model, batches)
    return by_rows(lambda k: 0.5 * (forget(k) + retain(k)))


def unlabelled(examples: Examples) -> Examples:
    """The text of the questions alone: every token up to the answer is to be predicted, no answer is."""
    first = (examples.targets != IGNORE).argmax(axis=1)
    targets = np.full_like(examples.targets, IGNORE)
    for row, end in enumerate(first):
        targets[row, :end] = examples.input_ids[row, 1 : end + 1]
    return replace(examples, targets=targets)


def fine_tuned(
    model: Any,
    run: RunContext,
    loss: Loss,
    *,
    steps: int,
    learning_rate: float,
    evaluate_every: int,
    attacked: Callable[[], Any] | None = None,
    **training: Any,
) -> Any:
    """The model after an attack that trains, measured along its steps, step 0 included.

    `attacked` gives the model to measure where that is not the one in training.
    """

    def check(step: int) -> bool:
        last = step + evaluate_every > steps
        look(run, attacked() if attacked else model, step, last=last)
        return False

    train(
        model,
        loss,
        run,
        steps=steps,
        learning_rate=learning_rate,
        check=check,
        check_every=evaluate_every,
        check_first=True,
        tolerate_divergence=True,
        **training,
    )
    return model
