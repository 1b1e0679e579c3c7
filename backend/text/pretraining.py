"""The parameters by which every setting of text makes its base and its oracle: a model, a tokenizer, a training."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from backend.data import Examples
from backend.language_model import LanguageModel
from backend.language_model import language_model as chosen_model
from backend.registry import Count, Rate, Share, Whole
from backend.stage import UserError

# Left out of fingerprints where they have these values, so that old runs keep their names.
NEUTRAL = {"accumulate": 1, "beta2": 0.95}


@dataclass(frozen=True)
class Start:
    """The model that a study starts from, and how its base and oracle are trained from it."""

    model: LanguageModel
    base_training: dict[str, Any]

    def of_task(self) -> dict[str, Any]:
        """What a task says of them; without an oracle, zero is what forgetting is measured from."""
        anchor = "oracle" if self.base_training["steps"] else "floor"
        return {"base_training": self.base_training, "anchor": anchor, **self.model.of_task()}


def text_training(
    setting: str,
    texts: Callable[[], Iterable[str]],
    identity: str = "",
    *,
    base_steps: Whole = 800,
    batch_size: Count = 32,
    accumulate: Count = 1,
    learning_rate: Rate = 3e-3,
    final_share: Share = 0.1,
    warmup: Whole = 50,
    weight_decay: Share = 0.1,
    beta2: Share = 0.95,
    **language_model: Any,
) -> Start:
    """Model and tokenizer, which is trained on `texts` where none is given; warm-up, then a cosine to a share of the rate.

    Where `identity` stands for the texts, a trained tokenizer is kept in the data directory.

    Args:
        base_steps: training steps of base and oracle; 0 takes a released model as it is, without an oracle
        batch_size: blocks or questions of a batch of base and oracle
        accumulate: batches whose gradients make up one step of theirs
        learning_rate: peak rate of base and oracle
        final_share: share of that rate that is left at the end of the cosine; 1 holds it
        warmup: steps over which the rate rises
        weight_decay: weight decay of base and oracle
        beta2: AdamW's decay of the gradient's square for base and oracle

    Raises:
        UserError: a batch has no room for both parts, or no step trains a new model
    """
    if batch_size < 2:
        raise UserError(f"{setting}: batch_size = 1 leaves no room for data to keep and data to forget; use 2 or more.")  # fmt: skip
    model = chosen_model(texts, identity, **language_model)
    if not base_steps and not model.is_released:
        raise UserError(f"{setting}: base_steps = 0 trains nothing; that fits a released model only.")  # fmt: skip
    base_training = {
        "steps": base_steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "schedule": "cosine",
        "final_share": final_share,
        "warmup": min(warmup, base_steps),
        "weight_decay": weight_decay,
        "beta2": beta2,
    }
    return Start(model, base_training | ({"accumulate": accumulate} if accumulate > 1 else {}))


def first_rows(examples: Examples, share: float) -> Examples:
    """The first rows, a share of all and at least one, without copying them."""
    count = max(1, round(share * len(examples)))
    identity = f"{examples.identity}[:{count}]"
    return Examples(examples.input_ids[:count], examples.targets[:count], identity=identity)
