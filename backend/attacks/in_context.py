"""In-context re-introduction: the forgotten fact stands in the prompt."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np

from backend.asking import ask
from backend.attacking import rewrites_of
from backend.context import RunContext
from backend.data import Examples, Task
from backend.in_context_learning import require_in_context_learning
from backend.prompts import completed, shown_before
from backend.registry import Whole, attack


@attack(
    label="Facts in the prompt",
    source="Shumailov et al. 2024 (arXiv 2407.00106): ununlearning by in-context re-introduction",
    counts="policy",
    has_steps=False,
    in_context=True,
    needs={"base": {}},
)
def in_context(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    shown: Literal["fact", "siblings"] = "fact",
    count: Whole = 2,
) -> Any:
    """The model as it was, asked after a prompt that holds what is asked, or facts from which it follows.

    The oracle can read too: this says what a policy on prompts would have to forbid, not what the weights hold.

    Args:
        shown: the question itself with its answer, or the same fact in the setting's other notations
        count: other forget facts of the attack part in the same prompt, in random order with it
    """
    require_in_context_learning(run)
    told: Callable[[Examples], Any] = _fact
    if shown == "siblings":
        told = partial(_siblings, ways=rewrites_of(run, "conjugate"))
    seed = int(run.numbers("in context").integers(2**31))
    known = run.split("attack")
    ask(run, model, {shown: lambda e: shown_before(e, known, count, seed, told(e))})
    return model


def _fact(examples: Examples) -> list[list[np.ndarray]]:
    return [[text] for text in completed(examples)]


def _siblings(examples: Examples, ways: dict[str, Any]) -> list[list[np.ndarray]]:
    """The facts of every row in its other notations, completed."""
    return [list(row) for row in zip(*(completed(put(examples)) for put in ways.values()), strict=True)]  # fmt: skip
