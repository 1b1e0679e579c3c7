"""Maximum entropy: make the answers to forget questions uniform, keep the retain answers."""

from typing import Any

from backend import chunked
from backend.context import RunContext
from backend.data import Task
from backend.ranks import by_rows
from backend.registry import method
from backend.suppression import Step, suppress


@method(
    stage="suppress",
    label="MaxEnt",
    source="Lee et al. 2025 (arXiv 2506.06278); L = KL(U ‖ p)(forget) + w·CE(retain)",
)
def max_ent(model: Any, task: Task, run: RunContext, **suppression: Any) -> Any:
    """The model after training its forget answers towards the uniform distribution."""

    @by_rows
    def flatten(step: Step) -> Any:
        return chunked.uniform_divergence(model, step.forget)

    return suppress(model, task, run, flatten, **suppression)
