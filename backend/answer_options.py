"""How likely a model finds the true answer to a question, and wrong ones of the same kind."""

import numpy as np

from backend.batches import Loader
from backend.data import Examples, answers_of, with_answers
from backend.evaluation import score
from backend.examination import Examination
from backend.stage import NotApplicable


def rephrased(examined: Examination, split: str) -> Examples:
    """A split's items in other words: with the data's own paraphrase of the answer (its rewrites of the group `paraphrase`),
    else with the question in the setting's first other form (its rewrites of tense), or as they are where it has neither."""
    examples = examined.examples(split)
    groups = examined.task.rewrites
    forms = [*groups.get("paraphrase", {}).values(), *groups.get("tense", {}).values()]
    return forms[0](examples) if forms else examples


def option_losses(
    examined: Examination, examples: Examples, wrong: int, role: str = "model"
) -> np.ndarray:
    """Nats a token of every answer, shape (items, 1 + wrong): first the true one, then wrong ones, fewer where the data have fewer.

    Raises:
        NotApplicable: the setting has no wrong answers
    """
    options = options_of(examined, examples, wrong)
    return np.stack([_losses(examined, examples, answers, role) for answers in options], axis=1)


def options_of(examined: Examination, examples: Examples, wrong: int) -> list[list[np.ndarray]]:
    """The answers of every item, first the true ones, then so many times wrong ones, or as many times as every item has."""
    if examined.task.wrong_answers is None:
        raise NotApplicable(
            f"the setting {examined.task.name} has no wrong answers to compare with"
        )
    drawn = examined.task.wrong_answers(examples, wrong)
    least = min(wrong, *map(len, drawn))
    return [answers_of(examples), *([item[k] for item in drawn] for k in range(least))]


def _losses(
    examined: Examination, examples: Examples, answers: list[np.ndarray], role: str
) -> np.ndarray:
    loader = Loader(with_answers(examples, answers), examined.run.device)
    found = score(examined.of(role), loader)
    return found.loss / found.tokens


def log_truth_ratios(examined: Examination, split: str, role: str = "model") -> np.ndarray:
    """log R of a split's items with up to five wrong answers each: right and wrong ones are given to the rephrased item."""
    losses = option_losses(examined, rephrased(examined, split), 5, role)
    return losses[:, 0] - losses[:, 1:].mean(axis=1)
