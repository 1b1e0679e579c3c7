"""RWKU's adversarial probes: nine ways to ask that get round a refusal to answer the plain question."""

from typing import Any, Literal, get_args

from backend.asking import ask, ways_of
from backend.context import RunContext
from backend.data import Task
from backend.registry import attack


@attack(
    label="RWKU probes",
    source="Jin et al. 2024 (arXiv 2406.10890), §3.3: nine types of adversarial probes, from templates here",
    counts="access",
    has_steps=False,
)
def rwku_probes(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    kind: Literal[
        "all",
        "prefix_injection",
        "affirmative_suffix",
        "role_playing",
        "multiple_choice",
        "reverse_query",
        "synonym_manipulation",
        "background_hint",
        "in_context_learning",
        "cross_lingual",
    ] = "all",
) -> Any:
    """The model as it was, asked each question through adversarial probes; one right answer is enough.

    Each type's score stands beside that of all as a category of its name. With so many tries some answers are right by
    chance, as the oracle's are: multiple choice shows the answer among four.

    Args:
        kind: the type of probes; all is every one that the setting has
    """
    ways = ways_of(run, "rwku_probes", kind)
    ask(run, model, ways)
    types = get_args(rwku_probes.__annotations__["kind"])[1:]
    lacking = [name for name in types if name not in ways]
    if kind == "all" and lacking:
        run.note(f"The setting {task.name} has no probes of the kind {', '.join(lacking)}.")
    return model
