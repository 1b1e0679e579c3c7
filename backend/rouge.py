"""ROUGE-L of generated answers, by the library `rouge-score`."""

from functools import cache

import numpy as np
from rouge_score import rouge_scorer
from rouge_score.scoring import Score

from backend.data import answers_of
from backend.examination import Examination
from backend.generation import generated

PLAIN = set("abcdefghijklmnopqrstuvwxyz0123456789")


class Words:
    """Words as they stand between blanks: for texts of which the library's tokenizer would drop most."""

    def tokenize(self, text: str) -> list[str]:
        """The words of a text in small letters."""
        return text.lower().split()


def rouge_l(truth: str, answer: str, *, stem: bool = False) -> Score:
    """Precision, recall and F1 of the longest common subsequence of words, `rouge-score`'s own.

    That library knows a to z and 0 to 9 and drops everything else. Where that is less than half of the true answer (one
    in Korean, or of symbols), words are what stands between blanks.
    """
    letters = "".join(truth.lower().split())
    known = 2 * sum(letter in PLAIN for letter in letters) >= len(letters)
    return _scorer(known, stem).score(truth, answer)["rougeL"]


@cache
def _scorer(known: bool, stem: bool) -> rouge_scorer.RougeScorer:
    tokenizer = None if known else Words()
    return rouge_scorer.RougeScorer(["rougeL"], use_stemmer=stem, tokenizer=tokenizer)


def greedy_answers(
    examined: Examination, split: str, *, cut: bool = False
) -> list[tuple[str, str]]:
    """(true, greedy) answer of every item of a split, as texts.

    The greedy one is as long as the longest true answer of the split; with `cut` as long as its own, in tokens, since
    a setting need not have a token that ends an answer.
    """
    examples = examined.examples(split)
    found = generated(examined.of(), examples)[0]
    text = examined.task.text
    return [
        (text(truth), text(answer[: len(truth)] if cut else answer))
        for truth, answer in zip(answers_of(examples), found, strict=True)
    ]


def f1_of(examined: Examination, split: str) -> np.ndarray:
    """ROUGE-L F1 of every item's greedy answer, cut to the true one's length, without stemming, as MUSE has it."""
    pairs = greedy_answers(examined, split, cut=True)
    return np.array([rouge_l(truth, answer).fmeasure for truth, answer in pairs])


def recall_of(examined: Examination, split: str) -> np.ndarray:
    """ROUGE-L recall of every item's greedy answer, stemmed, as TOFU has it."""
    pairs = greedy_answers(examined, split)
    return np.array([rouge_l(truth, answer, stem=True).recall for truth, answer in pairs])
