"""Training from initial weights on the base's schedule: base, oracle, and the methods that replace the base."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from backend import chunked
from backend.batches import Batch
from backend.context import RunContext
from backend.data import Examples, Task
from backend.ranks import by_rows, divided
from backend.training import train

Loss = Callable[[Any, Batch], Tensor]


def pretrain(run: RunContext, *, with_forget: bool) -> Any:
    """The base, which sees retain and forget data in the setting's shares, or the oracle, which sees retain data alone."""
    size = run.task.base_training["batch_size"]
    forget = _forget_facts(run.task) if with_forget else 0
    shares = (forget, size - forget)
    if not with_forget and run.task.clean is not None:
        run.task = replace(run.task, train={**run.task.train, "retain": run.task.clean})
    model = run.fresh_model()
    from_scratch(model, run, shares)
    return model


def labelled_share(task: Task) -> tuple[int, int]:
    """(forget, retain) facts a batch: the base's shares, of the forget facts those that are labelled."""
    forget = max(1, round(task.notes.get("label_fraction", 1.0) * _forget_facts(task)))
    return forget, task.base_training["batch_size"] - forget


def _forget_facts(task: Task) -> int:
    """Forget facts in a batch of the base, at least one; half of an odd batch is rounded up."""
    return max(1, math.floor(task.forget_share * task.base_training["batch_size"] + 0.5))


def from_scratch(
    model: Any,
    run: RunContext,
    shares: tuple[int, int],
    forget_loss: Loss | None = None,
    retain_loss: Loss | None = None,
    forget: Any = None,
) -> None:
    """Train in place on the base's schedule with `shares` = (forget, retain) facts a batch.

    The losses, cross-entropy where none is given, count by their share of the batch. `forget` replaces the forget
    data by another form of them. Where the setting teaches to learn within a context, its share of the rows are
    sequences of facts; no forget facts stand in them where `shares` has none or `forget` another form.
    """
    task = run.task
    options = dict(task.base_training)
    size = options.pop("batch_size")
    losses = (forget_loss or answer_loss, retain_loss or answer_loss)
    facts = {**task.train, **({"forget": forget} if forget else {})}
    long = round(task.context_share * size)
    if not long:
        train(model, _mixed(model, run, facts, shares, losses), run, **options)
        return
    without = (0, size) if forget else shares
    single = _mixed(model, run, facts, _scaled(shares, size - long), losses)
    several = _mixed(model, run, task.contexts, _scaled(without, long), losses, "contexts of ")

    def loss(k: int) -> Any:
        alone, context = single(k), several(k)
        total = ((size - long) * _scalar(alone) + long * _scalar(context)) / size
        return total, {"context_loss": _scalar(context), **_parts(alone)}

    train(model, by_rows(loss) if divided(single) else loss, run, **options)


def _mixed(
    model: Any,
    run: RunContext,
    data: dict[str, Examples],
    shares: tuple[int, int],
    losses: tuple[Loss, Loss],
    purpose: str = "",
) -> Callable[[int], Any]:
    """The loss of batch k of `shares` = (forget, retain) rows, with its parts where there are both."""
    size = sum(shares)
    retain = run.batches(data["retain"], shares[1], f"{purpose}retain")
    dropped = None
    if shares[0]:
        dropped = run.batches(data["forget"], shares[0], f"{purpose}forget")

    def loss(k: int) -> Any:
        keep = losses[1](model, retain(k))
        if dropped is None:
            return keep
        learn = losses[0](model, dropped(k))
        if shares[0] == shares[1]:  # in this very form, so that old bases keep their bits
            return 0.5 * (keep + learn), {"retain_loss": keep, "forget_loss": learn}
        total = (shares[1] * keep + shares[0] * learn) / size
        return total, {"retain_loss": keep, "forget_loss": learn}

    return by_rows(loss) if all(map(divided, losses)) else loss


def _scaled(shares: tuple[int, int], rows: int) -> tuple[int, int]:
    """(forget, retain) shares of so many rows instead, at least one of each that there is, retain rows in any case."""
    forget = math.floor(rows * shares[0] / sum(shares) + 0.5)
    forget = min(max(forget, 1 if shares[0] else 0), rows - 1)
    return forget, rows - forget


def _scalar(loss: Any) -> Tensor:
    found: Tensor = loss[0] if isinstance(loss, tuple) else loss
    return found


def _parts(loss: Any) -> dict[str, Tensor]:
    return loss[1] if isinstance(loss, tuple) else {"retain_loss": loss}


def recover(
    model: Any,
    run: RunContext,
    steps: int,
    learning_rate: float,
    items: int = 0,
    loss: Loss | None = None,
) -> None:
    """Fine-tune in place on batches of so many retain items, drawn by the run's seed (0 is all), as wide as the base's.

    No labelled forget item is among them; the loss is cross-entropy where none is given.
    """
    if not steps:
        return
    retain = run.task.train["retain"]
    if items:
        retain = retain.take(run.numbers("coherence").permutation(len(retain))[:items])
    size = min(len(retain), run.task.base_training["batch_size"])
    batches = run.batches(retain, size, "coherence")
    chosen = loss or answer_loss

    def tell(k: int) -> Tensor:
        return chosen(model, batches(k))

    if divided(chosen):
        by_rows(tell)
    train(model, tell, run, steps=steps, learning_rate=learning_rate)


@by_rows
def answer_loss(model: Any, batch: Batch) -> Tensor:
    """Mean cross-entropy of the answers' tokens."""
    return chunked.cross_entropy(model, batch)
