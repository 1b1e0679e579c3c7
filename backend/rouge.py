"""ROUGE-L of generated answers, by the library `rouge-score`."""

from functools import cache

import numpy as np
from rouge_score import rouge_scorer
from rouge_score.scoring import Score

from backend.data import Task, answers_of
from backend.examination import Examination
from backend.generation import generated
from backend.text.tokenizers import end_of, parsed

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
    a setting need not have a token that ends an answer. Where the setting says how long answers may grow and what ends
    them, that counts instead. Either ends before the tokenizer's end token.
    """
    examples = examined.examples(split)
    task = examined.task
    length, stops = task.writing.get(split, (0, ()))
    found = generated(examined.of(), examples, length=length or None)[0]
    return [
        (
            _text(task, truth),
            _text(task, answer[: len(truth)] if cut and not length else answer, stops),
        )
        for truth, answer in zip(answers_of(examples), found, strict=True)
    ]


def _text(task: Task, tokens: np.ndarray, stops: tuple[str, ...] = ()) -> str:
    """An answer as text, up to the end token and to the first of the texts that end it."""
    if task.tokenizer:
        ends = np.flatnonzero(tokens == end_of(parsed(task.tokenizer)))
        tokens = tokens[: ends[0]] if len(ends) else tokens
    found = task.text(tokens)
    for stop in stops:
        found = found.split(stop)[0]
    return found


def f1_of(examined: Examination, split: str) -> np.ndarray:
    """ROUGE-L F1 of every item's greedy answer, cut to the true one's length, without stemming, as MUSE has it."""
    pairs = greedy_answers(examined, split, cut=True)
    return np.array([rouge_l(truth, answer).fmeasure for truth, answer in pairs])


def recall_of(examined: Examination, split: str) -> np.ndarray:
    """ROUGE-L recall of every item's greedy answer, stemmed, as TOFU has it."""
    pairs = greedy_answers(examined, split)
    return np.array([rouge_l(truth, answer, stem=True).recall for truth, answer in pairs])
