"""Gradient ascent: unlearn by climbing the loss on forget data alone."""

from typing import Any

from backend import chunked
from backend.context import RunContext
from backend.data import Task
from backend.ranks import by_tokens
from backend.registry import Rate, Weight, method
from backend.suppression import Step, suppress


@method(
    stage="suppress",
    label="GA",
    source="Jang et al. 2023 (arXiv 2210.01504), Yao et al. 2023 (arXiv 2310.10683); L = −CE(forget)",
    data_access="forget",
)
def grad_ascent(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    learning_rate: Rate = 1e-4,
    retain_weight: Weight = 0.0,
    **suppression: Any,
) -> Any:
    """The model after ascent on forget data; nothing holds the rest in place.

    Args:
        learning_rate: peak learning rate of AdamW
        retain_weight: weight of the retain loss; 0 leaves retain data out
    """

    @by_tokens
    def climb(step: Step) -> Any:
        return -chunked.cross_entropy(model, step.forget)

    return suppress(
        model,
        task,
        run,
        climb,
        learning_rate=learning_rate,
        retain_weight=retain_weight,
        **suppression,
    )
