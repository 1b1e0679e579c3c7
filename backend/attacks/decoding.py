"""Decoding: sample several answers instead of the likeliest one."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from backend.attacking import PARTS, report
from backend.context import RunContext
from backend.data import Task, answers_of
from backend.evaluation import Scores, score
from backend.generation import as_correct, generated
from backend.prompts import fitting
from backend.registry import Count, Share, Weight, attack


@attack(
    label="Decoding",
    source="Huang et al. 2023 (arXiv 2310.06987): exploiting generation; best of k tries at a temperature and top-p",
    counts="access",
    has_steps=False,
)
def decoding(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    temperature: Weight = 1.0,
    top_p: Share = 1.0,
    tries: Count = 16,
) -> Any:
    """The model as it was, asked several times; an item counts if one of the drawn answers is right.

    The loss stays that of the true answer, which no way of decoding changes. With many tries some answers are right by
    chance; the oracle has the same tries.

    Args:
        temperature: of the softmax that answers are drawn from; 0 is greedy
        top_p: share of the probability, from the likeliest token down, that is drawn from
        tries: answers to every question
    """
    generator = run.generator("decoding")
    drawing = {"temperature": temperature, "top_p": top_p, "tries": tries}
    with run.meter.watching(model):
        found = {part: _tried(run, model, part, generator, **drawing) for part in PARTS}
    report(run, found, 1, last=True, tries=tries if temperature > 0 else 1)
    return model


def _tried(
    run: RunContext, model: Any, part: str, generator: torch.Generator, **drawing: Any
) -> Scores:
    """The part's teacher-forced scores, with the first right try of each item, else its first try, as the answer."""
    run.check_cancelled()
    examples = fitting(run.split(part), model)
    drawn = generated(model, examples, generator=generator, **drawing)
    right = as_correct(examples, drawn)
    shown = drawn[right.argmax(axis=0), np.arange(len(examples))]
    lengths = map(len, answers_of(examples))
    with run.meter.paused():
        scores = score(model, run.loader(examples))
    return replace(
        scores,
        correct=np.asarray(right.any(axis=0)),
        predicted=[tokens[:length] for tokens, length in zip(shown, lengths, strict=True)],
    )
