"""Perplexity: of the answers, of the whole texts, and of what the model writes."""

import numpy as np

from backend.continuations import after_questions, continued, whole_texts
from backend.data import Examples
from backend.evaluation import Scores, score
from backend.examination import Examination, Readings
from backend.registry import Count, metric
from backend.stage import NotApplicable

SPLITS = ("forget_score", "retain_score")


@metric(
    label="perplexity",
    source="exp of the mean cross-entropy of a token; of generations under the base: spec §3.4",
    direction="down",
    better="down",
    floor=None,
    unit="",
    range=[1.0, None],
    takes="examination",
)
def perplexity(examined: Examination, *, tokens: Count = 24) -> Readings:
    """The exponential of the mean loss over all scored tokens of a split; smaller means that the model knows more.

    The reading of a split is that of the answers, the only tokens that the models of a setting of questions learn to
    predict. The category `whole text` counts every token of question and answer after the first, `generations` the
    model's own greedy continuations under the base: high where unlearning left gibberish. The latter is left out
    where there is no base. It reads what comes out: hidden knowledge looks like none.

    Args:
        tokens: length of the generations
    """
    found: dict[str | tuple[str, str], float] = {}
    for split in SPLITS:
        examples = examined.examples(split)
        found[split] = _of(examined.scores(split))
        found[split, "whole text"] = _of(_pass(examined, "model", whole_texts(examples)))
        try:
            written = continued(examined.of("model"), examples, tokens)
            scored = _pass(examined, "base", after_questions(examples, written))
            found[split, "generations"] = _of(scored)
        except NotApplicable:  # no base to judge them: the other readings stand
            continue
    return found


def _pass(examined: Examination, role: str, examples: Examples) -> Scores:
    return score(examined.of(role), examined.run.loader(examples))


def _of(scores: Scores) -> float:
    with np.errstate(over="ignore"):  # beyond what a number can hold it is stored as missing
        return float(np.exp(scores.loss.sum() / scores.tokens.sum()))
