"""Few-shot prompts: answered retain questions stand before every forget question."""

from typing import Any

from backend.asking import ask
from backend.context import RunContext
from backend.data import Task
from backend.in_context_learning import require_in_context_learning
from backend.prompts import shown_before
from backend.registry import Whole, attack


@attack(
    label="Few-shot prompts",
    source="Shi et al. 2024 (arXiv 2407.06460): knowledge questions after in-context examples, here retain facts",
    counts="policy",
    has_steps=False,
    in_context=True,
    needs={"base": {}},
)
def few_shot(model: Any, task: Task, run: RunContext, *, shots: Whole = 5) -> Any:
    """The model as it was, asked after answered retain questions, drawn anew for every item.

    Args:
        shots: retain facts before every question, as 0, 1, 5 and 10; 0 is the plain question
    """
    require_in_context_learning(run)
    seed = int(run.numbers("few shots").integers(2**31))
    retain = task.train["retain"]
    ask(run, model, {f"{shots} shots": lambda e: shown_before(e, retain, shots, seed)})
    return model
