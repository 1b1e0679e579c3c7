"""Tenses and paraphrases: the same question in other words."""

from itertools import islice
from typing import Any

from backend.asking import ask
from backend.attacking import rewrites_of
from backend.context import RunContext
from backend.data import Task
from backend.registry import Whole, attack


@attack(
    label="Tense and paraphrase",
    source="Andriushchenko and Flammarion 2024 (arXiv 2407.11969): past-tense reformulations, best of k",
    counts="access",
    has_steps=False,
)
def tense(model: Any, task: Task, run: RunContext, *, tries: Whole = 0) -> Any:
    """The model as it was, asked each question in other tenses and paraphrases; one right answer is enough.

    Each one's score stands beside that of all as a category of its name. Nothing is said of a setting that writes its
    facts in one way only.

    Args:
        tries: how many of the setting's rewrites are asked, in its order; 0 is all
    """
    ways = rewrites_of(run, "tense")
    ask(run, model, dict(islice(ways.items(), tries or None)))
    return model
