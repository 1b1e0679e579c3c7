"""Repair without noise: give a suppressed model its retain answers back and let it keep its forget answers."""

from typing import Any

from backend.context import RunContext
from backend.data import Task
from backend.distillation import distill_outputs
from backend.models import frozen_copy
from backend.registry import Count, Rate, Weight, Whole, method


@method(
    stage="robustify",
    label="Repair",
    source="the control of Lee et al. 2025 (arXiv 2506.06278) without its noise; KL(p_base ‖ p)(retain) + KL(p₀ ‖ p)(forget)",
    needs={"base": {}},
    data_access="unlabelled",
    version=2,
)
def repair(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    steps: Count = 200,
    learning_rate: Rate = 1e-3,
    forget_batch: Whole = 64,
    tolerance: Weight = 0.0,
    **distillation: Any,
) -> Any:
    """The incoming model after imitating the base on retain questions and itself, as it came in, on forget questions.

    So utility that suppression cost comes back while the surface of the suppression is held; nothing is damaged, so
    what lies beneath it stays. Without forget questions the knowledge may come back along with the utility.

    Args:
        steps: largest number of distillation steps
        learning_rate: peak learning rate of AdamW
        forget_batch: forget questions a step, answered by the incoming model; 0 distils on retain questions only
        tolerance: stop within this of the base's retain metric (absolute for shares, relative for losses); 0 never
    """
    return distill_outputs(
        model,
        run.input("base"),
        task,
        run,
        frozen_copy(model),
        steps=steps,
        learning_rate=learning_rate,
        forget_batch=forget_batch,
        tolerance=tolerance,
        **distillation,
    )
