"""Data filtering: train from the start without the forget items that are known."""

from typing import Any

from backend.context import RunContext
from backend.data import Task
from backend.pretraining import from_scratch
from backend.registry import method


@method(
    stage="pretrain",
    label="Filtering",
    source="the data-filtering baseline of Lee et al. 2025 (arXiv 2506.06278) and Cloud et al. 2024 (arXiv 2410.04332)",
)
def data_filtering(model: Any, task: Task, run: RunContext) -> Any:
    """The model that never saw a labelled forget item; unlabelled ones stay in the stream. With all labels: an oracle."""
    from_scratch(model, run, (0, task.base_training["batch_size"]))
    return model
