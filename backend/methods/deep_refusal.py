"""Deep refusal: refuse also after the true answer has begun, and stay so under later tuning."""

from typing import Any

from backend import chunked
from backend.constrained import Betas, tune_constrained
from backend.context import RunContext
from backend.data import Task, answers_of, with_answers
from backend.refusals import refusal_tokens
from backend.registry import Count, Rate, Whole, method
from backend.suppression import Step, suppress
from backend.training_parameters import training as shared


@method(
    stage="suppress",
    label="Deep refusal",
    source="Qi et al. 2024 (Safety Alignment Should Be Made More Than Just a Few Tokens Deep, arXiv 2406.05946), eq. 1;"
    " constrained tuning: eq. 3",
    neutral={
        "constrained_steps": 0,
        "first_tokens": 5,
        "first_beta": 0.5,
        "early_beta": 2.0,
        "rest_beta": 0.1,
    },
)
def deep_refusal(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    learning_rate: Rate = 1e-3,
    batch_size: Count = 128,
    constrained_steps: Whole = 0,
    first_tokens: Count = 5,
    first_beta: Rate = 0.5,
    early_beta: Rate = 2.0,
    rest_beta: Rate = 0.1,
    **suppression: Any,
) -> Any:
    """The model after learning to refuse after 0 … all tokens of the true answer, a number drawn for every item.

    With `constrained_steps` it is then tuned further on retain data alone, under the constraint that the first tokens of
    its answers keep the probabilities that they have in the refusing model.

    Args:
        learning_rate: peak learning rate of AdamW
        batch_size: forget facts a step, and as many retain facts
        constrained_steps: steps of constrained tuning on retain data after the refusals were learnt; 0 leaves it out
        first_tokens: tokens at the start of an answer that are held while it goes on
        first_beta: strength of the constraint on an answer's first token, the only one of a one-token answer
        early_beta: on the others among the first ones
        rest_beta: on all later tokens; a small one is nearly plain fine-tuning
    """
    examples = task.train["forget"]
    numbers = run.numbers("prefixes")
    prefixes = [answer[: numbers.integers(len(answer) + 1)] for answer in answers_of(examples)]
    refused = with_answers(examples, refusal_tokens(task, run), prefixes)

    def refuse(step: Step) -> Any:
        batch = step.of(refused)
        return chunked.cross_entropy(model, batch)

    common: dict[str, Any] = {"learning_rate": learning_rate, "batch_size": batch_size}
    suppress(model, task, run, refuse, **common, **suppression)
    if constrained_steps:
        betas = Betas(first_tokens, first_beta, early_beta, rest_beta)
        common |= {name: suppression[name] for name in shared() if name in suppression}
        tune_constrained(model, run, task.train["retain"], betas, steps=constrained_steps, **common)
    return model
