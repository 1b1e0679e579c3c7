"""S3T: every slice of the data trains an adapter of its own, and those that met deleted items are switched off."""

from typing import Any, Literal

from backend.context import RunContext
from backend.data import Task
from backend.pretraining import answer_loss
from backend.registry import Count, Rate, Share, method
from backend.slices import Additions, Plan, Prefix, places, sliced
from backend.stage import Measured
from backend.training import train


@method(
    stage="pretrain",
    families=["dense"],
    label="S3T",
    source="Basu Roy Chowdhury et al. 2024 (arXiv 2406.16257): slice i trains layer i from the top, deletion deactivates"
    " it and all later ones; scale α/√rank and slices trained cumulatively as in the authors' code; outputs of shards are"
    " averaged there, weights here",
)
def s3t(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    public: Share = 0.8,
    shards: Count = 1,
    slices: Count = 4,
    sequences: Count = 1,
    placement: Literal["random", "last"] = "last",
    cumulative: bool = True,
    modules: Count = 1,
    rank: Count = 8,
    alpha: Rate = 16.0,
    steps: Count = 200,
    learning_rate: Rate = 1e-3,
    batch_size: Count = 128,
    **training: Any,
) -> Any:
    """The backbone of public items with the adapters that no deleted item had any part in, merged into its weights.

    The backbone learns from public items, as long as the base does. Every shard of the other items is cut into slices;
    slice i trains the low-rank adapter on the i-th modules from the top while all else stands still. Then all labelled
    forget items are deleted at once: an adapter whose slice, or an earlier one of its sequence, held one is switched off.
    What is left is bit for bit what training without these slices gives. With several shards the merged weights are
    averaged, where the paper averages outputs: so every attack has one model to attack, and it is no less exact.

    All trainings are charged, each step as a full one although the frozen weights need no gradients; deleting is free.
    `adapters_left`, and the forget metric before the deletion (on `forget_validation`, all adapters of the first
    sequences on), are recorded. With forget items in all first slices nothing but the backbone is left.

    Args:
        public: share of the retain items that nobody will ask to delete
        shards: m, disjoint parts of the other items with adapters of their own
        slices: L, parts of a shard, one adapter each
        sequences: B', rotations of the slices that are trained a shard; the one with the longest clean start is kept
        placement: forget items at random over the slices, or in the last ones, as the paper orders slices by their
            probability of deletion
        cumulative: an adapter also learns from the slices before its own; else from its own alone
        modules: MLP and attention modules, from the top of the model downward, that one slice's adapter sits on
        rank: r, rank of the additions to a module's matrices
        alpha: additions count alpha / √rank times
        steps: optimiser steps an adapter
        learning_rate: peak learning rate of AdamW for adapters
        batch_size: items a step of an adapter's training

    Raises:
        RunFailed: the model has too few modules, or there are too few items for the slices or too few rotations
    """
    where = places(model, slices, modules)
    plan = sliced(
        task,
        run,
        public=public,
        shards=shards,
        slices=slices,
        sequences=sequences,
        placement=placement,
        cumulative=cumulative,
    )
    backbone = dict(task.base_training)
    batches = run.batches(plan.public, backbone.pop("batch_size"), "public")
    train(model, lambda k: answer_loss(model, batches(k)), run, **backbone)
    additions = Additions(model, run, where, rank, alpha)
    options = {"steps": steps, "learning_rate": learning_rate, **training}
    for shard, orders in enumerate(plan.shards):
        for sequence, lessons in enumerate(orders):
            for position, lesson in enumerate(lessons):
                before = (shard, sequence, position)
                additions.learn(before, lesson.examples, batch_size, **options)
    additions.set((shard, 0, slices) for shard in range(shards))
    with run.meter.paused():
        known = run.metric(model, "forget_validation", task.forget_metric, run.steps)
    kept = clean(plan)
    additions.set(kept)
    model.requires_grad_(True)
    left = sum(length for _, _, length in kept)
    run.sink.record([Measured("adapters_left", "model", left, run.steps)])
    run.note(
        f"{left} of {shards * slices} adapters were left after the deletion; before it the forget {task.forget_metric}"
        f" on validation items was {known:.2f}."
    )
    return model


def clean(plan: Plan) -> list[Prefix]:
    """Of every shard, the sequence whose additions stay longest free of deleted items, and how long."""
    found = []
    for shard, orders in enumerate(plan.shards):
        lengths = [sum(lesson.clean for lesson in lessons) for lessons in orders]
        best = lengths.index(max(lengths))
        found.append((shard, best, lengths[best]))
    return found
