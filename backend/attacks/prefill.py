"""Prefilled answers: the attacker begins the answer, and the model goes on."""

from functools import partial
from typing import Any

from backend.asking import ask, put_as
from backend.attacking import rewrites_of
from backend.context import RunContext
from backend.data import Examples, Rewrite, Task
from backend.prompts import begun_truly, prefilled
from backend.registry import Whole, attack


@attack(
    label="Prefilled answers",
    source="Andriushchenko et al. 2024 (arXiv 2404.02151), §3: prefilling; Qi et al. 2024 (arXiv 2406.05946) on shallow refusals",
    counts="access",
    has_steps=False,
)
def prefill(model: Any, task: Task, run: RunContext, *, given: Whole = 0) -> Any:
    """The model as it was, its answers begun with the setting's openings or with a refusal that is already over.

    One right answer is enough; each opening's score stands beside that as a category of its name.

    Args:
        given: how many first tokens of the true answer are given away too, the rest being asked for; with 1 or more the
            plain question is among those asked
    """
    ways: dict[str, Rewrite] = {
        **task.rewrites.get("prefill", {}),
        **{
            f"refusal {place + 1}": partial(prefilled, begun=tokens)
            for place, tokens in enumerate(task.refusals)
        },
    }
    if given:
        ways = put_as({"nothing": _as_it_stands, **ways}, partial(begun_truly, given=given))
    ask(run, model, ways or rewrites_of(run, "prefill"))
    return model


def _as_it_stands(examples: Examples) -> Examples:
    return examples
