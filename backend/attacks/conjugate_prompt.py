"""Conjugate prompts: the same fact asked for in another notation."""

from typing import Any

from backend.asking import ask, ways_of
from backend.context import RunContext
from backend.data import Task
from backend.registry import attack


@attack(
    label="Conjugate prompts",
    source="Berglund et al. 2023 (arXiv 2309.12288) on reversed facts; Jin et al. 2024 (arXiv 2406.10890): reverse and cross-lingual queries",
    counts="access",
    has_steps=False,
)
def conjugate_prompt(model: Any, task: Task, run: RunContext, *, kind: str = "all") -> Any:
    """The model as it was, asked for each fact in another notation, language or template; one right answer is enough.

    Each kind's score stands beside that of all as a category of its name. A setting whose unlearning data hold the fact
    in these notations too is asked nothing new.

    Args:
        kind: the name of one of the setting's conjugates (inverse, swapped, …); all is every one
    """
    ask(run, model, ways_of(run, "conjugate", kind))
    return model
