"""What a model writes: perplexity, entropy and repetition of it against known answers."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from backend import generation
from backend.continuations import after_questions, continued, n_grams, whole_texts
from backend.data import IGNORE
from backend.evaluation import score
from backend.generation import generated
from tests.hidden_knowledge import Refusing, long_task, of_models, random_model, uneven
from tests.small import context, small_task

torch.set_num_threads(1)


def test_perplexity_is_the_exponential_of_the_mean_loss_over_all_tokens() -> None:
    model = random_model()
    found = of_models("perplexity", long_task(), model, base=random_model(seed=1))
    items, losses, whole = uneven(), [], []
    for ids, targets in zip(items.input_ids, items.targets, strict=True):
        scored = np.flatnonzero(targets != IGNORE)
        text = np.concatenate([ids[: scored[0] + 1], targets[scored]])
        given = torch.from_numpy(text[:-1])[None]
        each = F.cross_entropy(model(given).logits[0], torch.from_numpy(text[1:]), reduction="none")
        whole += each.tolist()
        losses += each[scored[0] :].tolist()
    assert found["forget_score"] == pytest.approx(math.exp(np.mean(losses)), rel=1e-4)
    assert found["forget_score", "whole text"] == pytest.approx(math.exp(np.mean(whole)), rel=1e-4)
    assert math.isfinite(found["forget_score", "generations"])
    alone = of_models("perplexity", long_task(), model)
    assert ("forget_score", "generations") not in alone and alone["forget_score"] > 1


def test_what_a_model_writes_is_likely_to_itself() -> None:
    model, items = random_model(spread=1.0), uneven()
    written = continued(model, items, 8)
    again = score(model, context(Path("x")).loader(after_questions(items, written)))
    assert again.correct.all() and (again.tokens == 8).all()  # each token was the likeliest


@pytest.mark.parametrize("family", ["llama", "gemma2", "mixtral", "gpt_neox", "qwen2"])
def test_continuations_are_those_of_greedy_decoding(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model(family, spread=1.0)
    with monkeypatch.context() as patched:  # every token reads all before it again
        patched.setattr(generation, "LONG", 100)
        expected = generated(model, uneven(), length=9)[0]
    np.testing.assert_array_equal(continued(model, uneven(), 9), expected)
    np.testing.assert_array_equal(
        continued(Refusing(model), uneven().take(np.array([0])), 9)[0], expected[0]
    )


def test_whole_texts_score_every_token_after_the_first() -> None:
    texts = whole_texts(uneven())
    assert texts.input_ids[0].tolist() == [3, 7, 1, 4, 0, 0]
    assert texts.targets[0].tolist() == [7, 1, 4, 9, IGNORE, IGNORE]
    assert texts.targets[3].tolist() == [2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("written", "entropy", "repeated"),
    [
        ([5] * 8, 0.0, 0.8),  # one pair, one triple, one 4-gram of five
        ([1, 2, 3, 4, 5, 6, 7, 8], 0.5 * (2 / 3 * math.log2(7) + 4 / 3 * math.log2(6)), 0.0),
        ([1, 2, 1, 2, 1], 0.5 * (2 / 3 * 1.0 + 4 / 3 * (math.log2(3) - 2 / 3)), 0.0),
    ],
)
def test_entropy_and_repetition_of_texts_that_are_known(
    monkeypatch: pytest.MonkeyPatch, written: list[int], entropy: float, repeated: float
) -> None:
    rows = np.array([written])
    for name, expected in (("ngram_entropy", entropy), ("repetition", repeated)):
        monkeypatch.setattr(f"backend.metrics.{name}.continued", lambda *given: rows)
        found = of_models(name, small_task(), SimpleNamespace(eval=lambda: None))
        assert found["forget_score"][0] == pytest.approx(expected)
    assert n_grams(np.array([1, 2]), 3).size == 0
