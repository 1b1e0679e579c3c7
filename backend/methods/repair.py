"""Repair without noise: give a suppressed model its retain answers back."""

from typing import Any

from backend.context import RunContext
from backend.data import Task
from backend.distillation import distill_outputs
from backend.registry import Count, Rate, Weight, Whole, method


@method(
    stage="robustify",
    label="Repair",
    source="the control of Lee et al. 2025 (arXiv 2506.06278) without its noise: KL(p_base ‖ p)(retain)",
    needs={"base": {}},
    data_access="unlabelled",
)
def repair(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    steps: Count = 200,
    learning_rate: Rate = 1e-3,
    forget_batch: Whole = 0,
    tolerance: Weight = 0.0,
    **distillation: Any,
) -> Any:
    """The incoming model after imitating the base on retain questions: utility comes back, and perhaps more.

    Args:
        steps: largest number of distillation steps
        learning_rate: peak learning rate of AdamW
        forget_batch: forget questions a step, answered by the base; more than 0 brings the knowledge back
        tolerance: stop within this of the base's retain metric (absolute for shares, relative for losses); 0 never
    """
    return distill_outputs(
        model,
        run.input("base"),
        task,
        run,
        steps=steps,
        learning_rate=learning_rate,
        forget_batch=forget_batch,
        tolerance=tolerance,
        **distillation,
    )
