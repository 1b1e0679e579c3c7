"""AltPO: prefer plausible other answers, which the model itself makes up, to the true one."""

from typing import Any

from backend.alternatives import alternatives
from backend.context import RunContext
from backend.data import Task
from backend.preferences import prefer
from backend.registry import Rate, method


@method(
    stage="suppress",
    label="AltPO",
    source="Mekala et al. 2024 (arXiv 2409.13474); DPO with self-made alternatives as the preferred answers",
)
def alt_po(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    beta: Rate = 0.1,
    temperature: Rate = 1.0,
    **suppression: Any,
) -> Any:
    """The model after preferring one wrong but plausible answer of its own to each true one.

    Args:
        beta: how soon a preference that is strong enough stops to count
        temperature: of the sampling of alternatives
    """
    return prefer(
        model, task, run, alternatives(model, task, run, temperature), beta, **suppression
    )
