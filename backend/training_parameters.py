"""The parameters that every part that trains accepts besides its own, declared once.

A part takes them as `**training` and hands them to `backend.training.train`; one that wants another default for one of
them names it in its own signature.
"""

from typing import Any, Literal

from backend.registry import Count, Course, Rate, Share, Weight, Whole

# Left out of fingerprints where they have these values, so that old runs keep their names.
NEUTRAL = {
    "schedule": "constant",
    "warmup": 0,
    "final_share": 0.1,
    "points": [],
    "weight_decay": 0.0,
    "clip": 1.0,
    "accumulate": 1,
    "beta1": 0.9,
    "beta2": 0.999,
    "optimizer": "adamw",
    "compile": False,
}


def training(
    *,
    schedule: Course = "constant",
    warmup: Whole = 0,
    final_share: Share = 0.1,
    points: list[list[float]] = [],  # noqa: B006  (a literal that the catalogue can read)
    weight_decay: Weight = 0.0,
    clip: Rate = 1.0,
    accumulate: Count = 1,
    beta1: Share = 0.9,
    beta2: Share = 0.999,
    optimizer: Literal["adamw", "sgd"] = "adamw",
    compile: bool = False,
) -> dict[str, Any]:
    """All shared training parameters as a dictionary.

    Args:
        schedule: course of the learning rate after the warm-up
        warmup: steps over which the learning rate rises linearly from 0
        final_share: share of the learning rate that is left at the end of a schedule
        points: for the schedule `points`, pairs of (share of the steps, factor), joined linearly
        weight_decay: weight decay on matrices only; decoupled in AdamW, part of the gradient in SGD
        clip: largest norm of the gradient
        accumulate: batches whose gradients are averaged into one step
        beta1: AdamW's decay of the gradient's mean; the momentum of SGD
        beta2: AdamW's decay of the gradient's square; SGD has none
        optimizer: AdamW, or stochastic gradient descent with momentum, which wants larger learning rates
        compile: let torch.compile fuse the model's body; pays for trainings of many hundred steps, costs up to a minute first
    """
    return dict(locals())
