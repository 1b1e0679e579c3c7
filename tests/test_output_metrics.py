"""Metrics of what a model puts out: known answers on hand-made scores, and knowledge hidden behind a refusal."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from rouge_score import rouge_scorer

from backend import answer_options, rouge
from backend.checkpoints import load_model
from backend.data import IGNORE, Examples, Task
from backend.evaluation import Scores, score
from backend.examination import Examination
from backend.metrics.pass_at_k import _at
from backend.registry import load
from backend.stage import NotApplicable, reasons_in
from tests.small import context, do, small_task

torch.set_num_threads(1)
KNOWING = {"base_steps": 200}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that knows its facts, and its oracle."""
    folder = tmp_path_factory.mktemp("output")
    do(folder, "base", "base", changes=KNOWING)
    do(folder, "oracle", "oracle", changes=KNOWING)
    return folder


class Refusing(torch.nn.Module):
    """A model whose forget answers stand behind a refusal, which is likelier by a factor of e to the `margin`."""

    def __init__(self, base: Any, task: Task, margin: float):
        super().__init__()
        self.base, self.margin, self.refusal = base, margin, task.refusals[0][0]
        self.forget = [task.words.index(word) for word in "×÷"]

    def forward(self, input_ids: torch.Tensor, **given: Any) -> Any:
        logits = self.base(input_ids, **given).logits.clone()
        asked = torch.isin(input_ids, torch.tensor(self.forget)).any(dim=1)
        raised = logits[asked].max(dim=-1).values + self.margin
        logits[asked, :, self.refusal] = raised
        return SimpleNamespace(logits=logits)


def examined(home: Path, model: Any = None, **run: Any) -> Examination:
    given = {"stage": "evaluate", "inputs": {"base": ["base"], "oracle": ["oracle"]}, **run}
    run_context = context(home, small_task(**KNOWING), **given)
    return Examination(run_context, model or stored(home, "base"))


def stored(home: Path, name: str) -> Any:
    return load_model(home, name, context(home, small_task(**KNOWING)).fresh_model())


def refusing(home: Path, margin: float = 2.0) -> Examination:
    return examined(home, Refusing(stored(home, "base"), small_task(**KNOWING), margin))


def say(metric: str, found: Examination, **parameters: Any) -> Mapping[Any, Any]:
    return load("metrics", metric)(found, **parameters)


def scores(*right: list[bool], losses: list[list[float]] | None = None) -> Scores:
    told = [np.array(row) for row in right]
    lost = [np.array(row) for row in losses] if losses else [np.zeros(len(row)) for row in told]
    return Scores(
        loss=np.array([row.sum() for row in lost]),
        tokens=np.array([len(row) for row in lost]),
        correct=np.array([row.all() for row in told]),
        predicted=[np.zeros(len(row), dtype=int) for row in told],
        token_losses=lost,
        token_right=told,
    )


T, F = True, False


def test_extraction_strength_by_hand() -> None:
    found = scores([T, T, T, T], [F, F, F, F], [F, F, F, T], [F, T, T, T], [T, T, T, F], [F], [T])
    expected = [1.0, 0.0, 0.25, 0.75, 0.0, 0.0, 1.0]
    assert list(load("metrics", "extraction_strength")(found)) == expected


def test_exact_memorization_by_hand() -> None:
    found = scores([T, F, T, F], [F], [T, T, F])
    assert load("metrics", "exact_memorization")(found) == pytest.approx([0.5, 0.0, 2 / 3])


def test_probability_is_the_geometric_mean_of_the_tokens() -> None:
    found = scores([T, F], [T], losses=[[np.log(2), np.log(8)], [0.0]])
    assert load("metrics", "probability")(found) == pytest.approx([0.25, 1.0])


@pytest.mark.parametrize("k", [1, 2, 4])
def test_pass_at_k_is_the_share_of_all_choices_with_a_right_one(k: int) -> None:
    draws = 6
    for right in range(draws + 1):
        tries = [i < right for i in range(draws)]
        expected = np.mean([any(chosen) for chosen in combinations(tries, k)])
        assert _at(np.array([right]), draws, k) == pytest.approx([expected])


SENTENCES = [
    ("The author's full name is Hsiao Yun-Hwa.", "The author is called Hsiao Yun-Hwa"),
    ("She was writing novels in Taipei", "she writes a novel"),
    ("36", "36 37"),
    ("Jaime Núñez lives there", "Núñez lives"),
    ("nothing in common", "entirely else"),
]


@pytest.mark.parametrize("stem", [True, False])
@pytest.mark.parametrize(("truth", "answer"), SENTENCES)
def test_rouge_l_is_that_of_rouge_score(truth: str, answer: str, stem: bool) -> None:
    library = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=stem)
    assert rouge.rouge_l(truth, answer, stem=stem) == library.score(truth, answer)["rougeL"]


@pytest.mark.parametrize(
    ("truth", "answer", "recall", "f1"),
    [
        ("× ÷ =", "× =", 2 / 3, 0.8),
        ("나는 집에 간다", "나는 집에 온다", 2 / 3, 2 / 3),
        ("×", "×", 1, 1),
    ],
)
def test_rouge_l_of_what_the_library_would_drop_is_by_words(
    truth: str, answer: str, recall: float, f1: float
) -> None:
    found = rouge.rouge_l(truth, answer)
    assert (found.recall, found.fmeasure) == pytest.approx((recall, f1))


class Reciting(torch.nn.Module):
    """A model that goes on from every text it knows, token by token, and says 0 after any other."""

    def __init__(self, texts: list[list[int]], vocabulary: int):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.vocabulary = vocabulary
        self.next = {tuple(t[:end]): t[end] for t in texts for end in range(1, len(t))}

    def forward(self, input_ids: torch.Tensor, logits_to_keep: Any = 0, **ignored: Any) -> Any:
        columns = logits_to_keep.tolist()
        logits = torch.zeros(len(input_ids), len(columns), self.vocabulary)
        for row, ids in enumerate(input_ids.tolist()):
            for place, column in enumerate(columns):
                logits[row, place, self.next.get(tuple(ids[: column + 1]), 0)] = 9.0
        return SimpleNamespace(logits=logits)


def spelled_task(words: tuple[str, ...]) -> Task:
    """Two questions, 5 → 6 7 8 and 9 5 → 7, of different length."""
    ids = np.array([[5, 6, 7, 0], [9, 5, 0, 0]])
    targets = np.array([[6, 7, 8, IGNORE], [IGNORE, 7, IGNORE, IGNORE]])
    examples = Examples(ids, targets)
    wrong = [[np.array([8, 8]), np.array([9]), np.array([7])], [np.array([8]), np.array([9]), np.array([6])]]  # fmt: skip
    return replace(
        small_task(),
        words=words,
        splits=dict.fromkeys(("forget_score", "retain_score"), examples),
        refusals=((6, 7), (3,)),
        rewrites={},
        wrong_answers=lambda _, k: [row[:k] for row in wrong],
    )


WORDS = ("of", "A", "B", "C", "D", "who", "one", "two", "three", "four")


def spelled(tmp_path: Path, texts: list[list[int]]) -> Examination:
    run = context(tmp_path, spelled_task(WORDS), stage="evaluate")
    return Examination(run, Reciting(texts, len(WORDS)))


def test_greedy_answers_of_several_tokens(tmp_path: Path) -> None:
    found = spelled(tmp_path, [[5, 6, 7, 9], [9, 5, 7, 3]])
    assert rouge.greedy_answers(found, "forget_score") == [("one two three", "one two four"), ("two", "two C of")]  # fmt: skip
    assert rouge.greedy_answers(found, "forget_score", cut=True)[1] == ("two", "two")
    heard = say("rouge_l", found)
    assert heard["forget_score"] == pytest.approx([2 / 3, 1.0])
    assert heard["forget_score", "F1"] == pytest.approx([2 / 3, 1.0])
    assert say("verbatim_memorization", found)["forget_score"] == pytest.approx([2 / 3, 1.0])
    assert say("knowledge_memorization", found)["retain_score"] == pytest.approx([2 / 3, 1.0])


def test_a_refusal_is_the_beginning_of_an_answer(tmp_path: Path) -> None:
    assert list(say("refusal_rate", spelled(tmp_path, [[5, 6, 7, 9], [9, 5, 7, 6]]))["forget_score"]) == [1, 0]  # fmt: skip
    assert list(say("refusal_rate", spelled(tmp_path, [[5, 6, 8], [9, 5, 3, 7]]))["forget_score"]) == [0, 1]  # fmt: skip


def test_options_are_compared_by_the_token(tmp_path: Path) -> None:
    found = spelled(tmp_path, [[5, 6, 7, 8], [9, 5, 8]])
    losses = answer_options.option_losses(found, found.examples("forget_score"), 3)
    assert losses.shape == (2, 4)
    assert losses.argmin(axis=1).tolist() == [0, 1]
    ratios = answer_options.log_truth_ratios(replaced_wrong(found), "forget_score")
    assert ratios[0] < 0 < ratios[1]


def replaced_wrong(found: Examination) -> Examination:
    """The same with five wrong answers each."""
    many = lambda _, k: [[np.array([8])] * k, [np.array([8])] * k]  # noqa: E731
    found.task = replace(found.task, wrong_answers=many)
    return found


def test_a_letter_is_right_where_it_stands_before_the_true_answer(tmp_path: Path) -> None:
    found = spelled(tmp_path, [])
    indifferent = say("multiple_choice_accuracy", found)
    assert list(indifferent["forget_score", "letters"]) == [0.25, 0.25]
    shown: list[list[int]] = []
    found.model.register_forward_pre_hook(lambda _, args: shown.extend(args[0].tolist()))
    say("multiple_choice_accuracy", found)
    prompts = [row[: row.index(5) + 1] for row in shown if len(row) > 8]
    first = next(row for row in prompts if set(row) >= {1, 2, 3, 4, 6, 7, 8})
    # Two of the four options of the first question are longer than a token: A …, B …, C …, D …, who
    at = [first.index(letter) for letter in (1, 2, 3, 4)] + [len(first) - 1]
    options = [first[a + 1 : b] for a, b in zip(at, at[1:], strict=False)]
    assert sorted(options) == [[6, 7, 8], [7], [8, 8], [9]]
    found.model.next[tuple(first)] = [1, 2, 3, 4][options.index([6, 7, 8])]
    assert say("multiple_choice_accuracy", found)["forget_score", "letters"][0] == 1.0
    assert not found.run.notes


def test_equal_options_share_the_point() -> None:
    first = load("metrics", "multiple_choice_accuracy").__globals__["first_is_best"]
    losses = np.array([[1.0, 2, 3, 4], [2, 1, 3, 4], [1, 1, 3, 1], [1, 1, 1, 1]])
    assert first(losses) == pytest.approx([1, 0, 1 / 3, 0.25])


EXPOSED = {  # which reading says that the knowledge is there, and above which value
    "pass_at_k": ("forget_score", 0.5),
    "multiple_choice_accuracy": ("forget_score", 0.9),
    "mia_loss": ("model", 0.8),
    "mia_zlib": ("model", 0.8),
    "mia_min_k": ("model", 0.8),
    "mia_reference": ("model", 0.7),
    "mia_min_k_plus_plus": ("model", 0.7),
}
BLIND = ("rouge_l", "verbatim_memorization", "knowledge_memorization")


@pytest.mark.parametrize("metric", EXPOSED)
def test_it_sees_behind_a_refusal(home: Path, metric: str) -> None:
    split, least = EXPOSED[metric]
    found = np.mean(say(metric, refusing(home))[split])
    oracle = np.mean(say(metric, examined(home, stored(home, "oracle")))[split]) if metric != "mia_reference" else 0.5  # fmt: skip
    assert found > least and found > oracle + 0.2


@pytest.mark.parametrize("metric", BLIND)
def test_what_reads_the_greedy_answer_alone_is_blind(home: Path, metric: str) -> None:
    assert np.mean(say(metric, refusing(home))["forget_score"]) == 0.0
    assert np.mean(say(metric, examined(home))["forget_score"]) > 0.9


def test_the_truth_ratio_does_not_mind_a_refusal(home: Path) -> None:
    plain, hidden = (say("truth_ratio", one) for one in (examined(home), refusing(home)))
    np.testing.assert_allclose(plain["forget_score"], hidden["forget_score"], rtol=1e-3, atol=1e-6)
    oracle = say("truth_ratio", examined(home, stored(home, "oracle")))
    assert hidden["forget_score"].mean() < 0.1 < oracle["forget_score"].mean()
    quality = say("tofu_forget_quality", refusing(home))
    assert quality["model", "D"] > 0.6 and quality["model"] < 1e-4
    assert quality["model", "n"] == len(plain["forget_score"])


def test_the_probability_that_a_refusal_leaves_tells_the_base_from_the_oracle(home: Path) -> None:
    hidden, oracle = (
        score(model, examined(home).loader("forget_score"))
        for model in (refusing(home, 1.0).model, stored(home, "oracle"))
    )
    assert not hidden.correct.any()
    behind, nothing = (load("metrics", "probability")(one).mean() for one in (hidden, oracle))
    assert behind > 0.2 and behind > 2 * nothing


def test_the_gradient_norm_sees_members_behind_a_slight_refusal(home: Path) -> None:
    found = say("mia_gradnorm", refusing(home, margin=0.5), items=12)["model"]
    oracle = say("mia_gradnorm", examined(home, stored(home, "oracle")), items=12)["model"]
    assert found > oracle + 0.2


def test_the_oracle_is_itself(home: Path) -> None:
    oracle = examined(home, stored(home, "oracle"))
    assert say("tofu_forget_quality", oracle)["model"] == 1.0
    assert say("privacy_leakage", oracle)["model"] == 0.0
    assert say("mia_loss", oracle)["model", "distance to oracle"] == 0.0
    with pytest.raises(NotApplicable, match="reference itself"):
        say("mia_reference", oracle)


def test_privacy_leakage_of_the_base_says_that_nothing_was_unlearned(home: Path) -> None:
    assert say("privacy_leakage", examined(home))["model"] < -90
    assert say("privacy_leakage", refusing(home))["model"] < -50


def test_min_k_of_all_tokens_is_the_loss(home: Path) -> None:
    whole, plain = say("mia_min_k", examined(home), share=1.0), say("mia_loss", examined(home))
    assert all(np.array_equal(whole[key], plain[key]) for key in plain)


def test_the_gradient_norm_takes_the_same_items_every_time(home: Path) -> None:
    first, again = (say("mia_gradnorm", examined(home), items=6) for _ in range(2))
    assert len(first["forget_score"]) == len(first["placebo_score"]) == 6
    assert np.array_equal(first["forget_score"], again["forget_score"])
    assert first["model"] > 0.9


def test_a_refusal_is_counted_where_it_is_given(home: Path) -> None:
    found = say("refusal_rate", refusing(home))
    assert [found[split].mean() for split in ("forget_score", "retain_score")] == [1.0, 0.0]
    assert found["placebo_score"].mean() < 0.5


def test_flips_are_what_only_the_base_knew(home: Path) -> None:
    found = say("negative_flips", refusing(home))
    base = examined(home).scores("forget_score", "model").correct
    assert np.array_equal(found["forget_score"], base.astype(float))
    assert found["retain_score"].sum() == 0


def test_utility_is_the_harmonic_mean_of_what_is_shown(home: Path) -> None:
    found = say("tofu_model_utility", examined(home))
    terms = [found["model", f"retain {name}"] for name in ("probability", "rouge", "truth ratio")]
    assert found["model", "terms"] == 3
    assert found["model"] == pytest.approx(3 / sum(1 / term for term in terms))


def test_utility_takes_the_sets_that_a_setting_has(home: Path) -> None:
    found = examined(home)
    found.task = replace(found.task, splits={**found.task.splits, "real_authors_score": found.task.splits["forget_score"]})  # fmt: skip
    assert say("tofu_model_utility", found)["model", "terms"] == 6
    found.task = replace(found.task, wrong_answers=None)
    assert say("tofu_model_utility", found)["model", "terms"] == 4


def test_forgetting_what_nobody_told_of(home: Path) -> None:
    """Of half of the items the labels are known; a model that refuses just these did not generalise."""
    labels = {"fraction": 0.5, "source": "true", "noise": 0.0}
    outcome, kept = do(home, "a", "evaluate", "audit", parent="base", changes=KNOWING, metrics=["forget_generalization"], labels=labels)  # fmt: skip
    rows = {row.category: row for row in kept.rows}
    assert not reasons_in(outcome.note)
    items = len(small_task().splits["forget_score"])
    assert rows["told"].count + rows["untold"].count == items
    found = examined(home)
    told = found.task.splits["forget_score"].take(np.arange(items // 2))
    found.task = replace(found.task, train={**found.task.train, "forget": told})
    half = scores(*[[i >= items // 2] for i in range(items)])
    found.scores = lambda *_: half  # type: ignore[assignment]
    heard = say("forget_generalization", found)
    assert (heard["model"], heard["model", "untold − told"]) == (1.0, 1.0)
    strangers = set(found.task.splits["forget_score"].families) - set(told.families)
    assert 0 < len(heard["model", "untold families"]) < items and strangers


@pytest.mark.parametrize("metric", ["mia_loss", "privacy_leakage", "truth_ratio", "refusal_rate", "multiple_choice_accuracy"])  # fmt: skip
def test_what_a_setting_lacks_is_said(home: Path, metric: str) -> None:
    found = examined(home)
    splits = {name: part for name, part in found.task.splits.items() if "placebo" not in name}
    found.task = replace(found.task, splits=splits, wrong_answers=None, refusals=())
    with pytest.raises(NotApplicable, match="the setting"):
        say(metric, found)
