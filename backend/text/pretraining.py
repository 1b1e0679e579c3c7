"""What settings of text share: how base and oracle are trained on blocks, and parts of such blocks."""

from typing import Any

from backend.data import Examples
from backend.language_model import LanguageModel
from backend.stage import UserError


def base_training(
    setting: str,
    model: LanguageModel,
    *,
    base_steps: int,
    batch_size: int,
    learning_rate: float,
    final_share: float,
    warmup: int,
    weight_decay: float,
) -> dict[str, Any]:
    """A task's `base_training`: warm-up, then a cosine to a share of the rate.

    Raises:
        UserError: a batch has no room for both parts, or no step trains a new model
    """
    if batch_size < 2:
        raise UserError(f"{setting}: batch_size = 1 leaves no room for both texts; use 2 or more.")
    if not base_steps and not model.is_released:
        raise UserError(f"{setting}: base_steps = 0 trains nothing; that fits a released model only.")  # fmt: skip
    return {
        "steps": base_steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "schedule": "cosine",
        "final_share": final_share,
        "warmup": min(warmup, base_steps),
        "weight_decay": weight_decay,
        "beta2": 0.95,
    }


def first_rows(examples: Examples, share: float) -> Examples:
    """The first rows, a share of all and at least one, without copying them."""
    count = max(1, round(share * len(examples)))
    identity = f"{examples.identity}[:{count}]"
    return Examples(examples.input_ids[:count], examples.targets[:count], identity=identity)
