"""Deep refusal: refuse also after the true answer has begun."""

from typing import Any

from backend.context import RunContext
from backend.data import Task, answers_of, with_answers
from backend.losses import cross_entropy
from backend.models import scored_logits
from backend.refusals import refusal_tokens
from backend.registry import method
from backend.suppression import Step, suppress


@method(
    stage="suppress",
    label="Deep refusal",
    source="Qi et al. 2024 (Safety Alignment Should Be Made More Than Just a Few Tokens Deep, arXiv 2406.05946), eq. 1",
)
def deep_refusal(model: Any, task: Task, run: RunContext, **suppression: Any) -> Any:
    """The model after learning to refuse after 0 … all tokens of the true answer, a number drawn for every item."""
    examples = task.train["forget"]
    numbers = run.numbers("prefixes")
    prefixes = [answer[: numbers.integers(len(answer) + 1)] for answer in answers_of(examples)]
    refused = with_answers(examples, refusal_tokens(task, run), prefixes)

    def refuse(step: Step) -> Any:
        batch = step.of(refused)
        return cross_entropy(scored_logits(model, batch), batch.targets)

    return suppress(model, task, run, refuse, **suppression)
