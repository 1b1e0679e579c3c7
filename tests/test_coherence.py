"""The score of labellings, repair of contradictions and simulated annealing, against brute force and by hand."""

import itertools
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from backend.coherence import Coherence, Labels, Predictor, accepted, cooled
from backend.data import IGNORE, Examples, Task
from backend.elicitation import controlled, families_of, right_labels
from backend.stage import NotApplicable
from tests.small import context, small_task

torch.set_num_threads(1)
VOCABULARY = len(small_task().words)


class Knowing(torch.nn.Module):
    """Gives the answers of a table at their questions' last token, with these logits; the others are equal."""

    def __init__(self, table: dict[tuple[int, ...], dict[int, float]]):
        super().__init__()
        self.table = table
        self.config = SimpleNamespace(max_position_embeddings=64)
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, input_ids: Any, logits_to_keep: Any, **ignored: Any) -> Any:
        found = torch.zeros(len(input_ids), len(logits_to_keep), VOCABULARY)
        for row, ids in enumerate(input_ids.tolist()):
            for place, end in enumerate(logits_to_keep.tolist()):
                known = self.table.get(tuple(ids[end - 3 : end + 1]), {})
                for token, logit in known.items():
                    found[row, place, token] = logit
        return SimpleNamespace(logits=found + self.weight)


def family(task: Task, name: str = "2×3") -> Examples:
    """2 × 3, 6 ÷ 2, 3 × 2 and 6 ÷ 3, wherever they were split to."""
    forget = task.train["forget"]
    return forget.take(np.flatnonzero(np.array(forget.families) == name))


def of(
    tmp_path: Path, model: Any, questions: Examples, shots: int = 2, weight: float = 0.5
) -> Coherence:
    run = context(tmp_path, stage="attack")
    every = range(len(questions))
    orders = [[j for j in every if j != i] for i in every]
    predictor = Predictor(run, model, questions, shots, orders)
    return Coherence(predictor, run.task.contradictions, weight, VOCABULARY)


def truth(questions: Examples) -> Labels:
    return {i: tuple(int(t) for t in row[row != IGNORE]) for i, row in enumerate(questions.targets)}


def test_the_score_is_the_sum_of_log_probabilities_given_the_others_less_contradictions(
    tmp_path: Path,
) -> None:
    task = small_task()
    questions = family(task)
    model = context(tmp_path).fresh_model().eval()
    labels = {**truth(questions), 0: (5,)}
    by_hand = 0.0
    for item, label in labels.items():
        others = [j for j in range(4) if j != item][:2]
        text = [t for j in others for t in (*questions.input_ids[j], *labels[j])]
        with torch.no_grad():
            logits = model(torch.tensor([[*text, *questions.input_ids[item]]])).logits[0, -1]
        by_hand += float(logits.log_softmax(-1)[label[0]])
    contradicting = 3  # 2 × 3 = 5 against each of the others
    coherence = of(tmp_path, model, questions)
    assert coherence.scores([labels])[0] == pytest.approx(0.5 * by_hand - contradicting, abs=1e-4)
    none = coherence.scores([{}])[0]
    assert none == pytest.approx(-0.5 * 4 * math.log(VOCABULARY))


def test_every_token_of_a_label_counts_and_rows_of_other_length_go_together(tmp_path: Path) -> None:
    ids = np.array([[1, 2, 3, 0, 0], [4, 5, 6, 7, 0], [8, 9, 0, 0, 0]])
    targets = np.full_like(ids, IGNORE)
    targets[0, 2], targets[1, 2:4], targets[2, 1] = 9, (7, 8), 3
    questions = Examples(ids, targets)
    model = context(tmp_path).fresh_model().eval()
    coherence = of(tmp_path, model, questions)
    coherence.contradictions = None
    labels: Labels = {0: (11,), 1: (12, 13), 2: (14,)}
    with torch.no_grad():
        row = torch.tensor([[1, 2, 3, 11, 8, 9, 14, 4, 5, 6, 12]])
        logits = model(row).logits[0].log_softmax(-1)
    by_hand = float(logits[-2, 12] + logits[-1, 13])
    found = coherence.predictor.log_probabilities([labels])[0]
    assert found[1] == pytest.approx(by_hand, abs=1e-4)
    (greedy,) = coherence.predictor.likeliest(labels, 1, 1)
    assert len(greedy) == 2 and greedy[0] == int(logits[-2].argmax())
    assert coherence.repaired(labels, np.random.default_rng(0)) == labels


def test_the_search_finds_what_brute_force_over_all_labellings_finds(tmp_path: Path) -> None:
    task = small_task()
    questions = family(task)
    table = {
        tuple(ids): {right[0]: 4.0, (right[0] + 1) % 37: 3.5}
        for ids, right in zip(questions.input_ids.tolist(), truth(questions).values(), strict=True)
    }
    coherence = of(tmp_path, Knowing(table), questions, weight=5.0)
    choices = [[(t,) for t in known] for known in table.values()]
    every = [dict(enumerate(labels)) for labels in itertools.product(*choices)]
    best = every[int(np.argmax(coherence.scores(every)))]
    for start in ({}, {0: choices[0][1]}, {i: labels[1] for i, labels in enumerate(choices)}):
        found = coherence.search(
            start, 60, lambda k: cooled(k, 10.0, 2.0, 0.01), np.random.default_rng(0)
        )
        assert found == best == truth(questions)


def test_true_facts_never_contradict_and_every_kind_of_contradiction_is_seen() -> None:
    task = small_task()
    assert task.contradictions is not None
    for part in ("forget", "retain"):
        assert not task.contradictions(task.train[part]).any()
    token = {word: i for i, word in enumerate(task.words)}

    def contradict(one: str, two: str) -> bool:
        rows = np.array([[token[word] for word in fact.split()] for fact in (one, two)])
        targets = np.full((2, 4), IGNORE)
        targets[:, 3] = rows[:, 4]
        assert task.contradictions is not None
        found = task.contradictions(Examples(rows[:, :4], targets))
        assert np.array_equal(found, found.T) and not found.diagonal().any()
        return bool(found[0, 1])

    assert contradict("2 × 3 = 7", "3 × 2 = 6")
    assert contradict("2 × 3 = 7", "6 ÷ 2 = 3")
    assert contradict("6 ÷ 2 = 3", "6 ÷ 3 = 4")
    assert contradict("6 ÷ 2 = 3", "2 × 4 = 6")
    assert contradict("2 × 3 = 6", "2 × 4 = 6")
    assert contradict("2 + 3 = 6", "5 − 3 = 2")
    assert contradict("2 + 3 = 6", "6 − 3 = 4")
    assert not contradict("2 × 3 = 7", "7 ÷ 2 = 3")  # wrong, and consistent
    assert not contradict("2 × 3 = 6", "1 × 6 = 6")
    assert not contradict("2 + 3 = 5", "2 × 3 = 6")
    assert not contradict("2 × 3 = =", "3 × 2 = 6")


def test_repair_makes_a_family_consistent_and_never_lowers_the_score(tmp_path: Path) -> None:
    questions = family(small_task())
    right = truth(questions)
    table = {
        tuple(ids): {label[0]: 4.0}
        for ids, label in zip(questions.input_ids.tolist(), right.values(), strict=True)
    }
    coherence = of(tmp_path, Knowing(table), questions)
    broken: Labels = {**right, 0: (1,), 2: (9,)}
    assert len(coherence.contradicting(broken)) == 5  # each against both twins, and each other
    repaired = coherence.repaired(broken, np.random.default_rng(0), tries=10)
    assert coherence.contradicting(repaired) == [] and repaired == right
    before, after = coherence.scores([broken, repaired])
    assert after > before
    assert coherence.repaired(right, np.random.default_rng(0)) == right


def test_annealing_keeps_gains_and_loses_as_its_temperature_says() -> None:
    numbers = np.random.default_rng(0)
    assert all(accepted(1e-9, 0.01, numbers) for _ in range(50))
    assert not any(accepted(-1.0, 0.01, numbers) for _ in range(200))
    kept = np.mean([accepted(-1.0, 2.0, numbers) for _ in range(4000)])
    assert kept == pytest.approx(math.exp(-0.5), abs=0.03)
    assert cooled(1, 10.0, 2.0, 0.01) == 10.0
    assert cooled(20, 10.0, 2.0, 0.01) == pytest.approx(10 / (1 + 2 * math.log(20)))
    assert cooled(20, 10.0, 2.0, 5.0) == 5.0
    temperatures = [cooled(k, 10.0, 2.0, 0.01) for k in range(1, 50)]
    assert temperatures == sorted(temperatures, reverse=True)


def test_what_stands_before_an_item_is_never_itself_and_at_most_so_many(tmp_path: Path) -> None:
    questions = small_task().splits["forget_attack"]
    coherence = of(tmp_path, Knowing({}), questions, shots=3)
    labels = {i: (i,) for i in range(10)}
    for item in range(12):
        shown = coherence.predictor.shown(labels, item)
        assert len(shown) == 3 and item not in dict(shown)
    coherence.predictor.shots = 20
    with pytest.raises(NotApplicable, match="the prompts have .* tokens and the model reads 64"):
        coherence.scores([{i: (i,) for i in range(len(questions))}])


def test_related_items_come_first_and_every_item_can_come(tmp_path: Path) -> None:
    questions = small_task().splits["forget_attack"]
    coherence = of(tmp_path, Knowing({}), questions)
    numbers = np.random.default_rng(0)
    drawn = np.array([coherence._next({0: (1,)}, numbers) for _ in range(600)])
    kin = {i for i, name in enumerate(questions.families) if name == questions.families[0]} - {0}
    assert np.isin(drawn, list(kin)).mean() > 0.7
    assert not kin or len(set(drawn)) > len(kin)


def test_whole_families_are_asked_nested_and_controls_are_what_they_say(tmp_path: Path) -> None:
    run = context(tmp_path, small_task(factors=12), stage="attack")
    attack = run.split("attack")
    few, more = families_of(attack, 12, 0), families_of(attack, 24, 0)
    assert (len(few), len(more), families_of(attack, 0, 0)) == (12, 24, attack)
    assert set(map(tuple, few.input_ids)) < set(map(tuple, more.input_ids))
    split = [name for name in set(few.families) if few.families.count(name) < attack.families.count(name)]  # fmt: skip
    assert len(split) <= 1
    noisy = controlled(run, more, "noisy", 0.25)
    assert (noisy.targets != more.targets).any(1).sum() == 6
    assert right_labels(noisy, more) == "18 of 24 labels for 24 questions are right."
    dealt = controlled(run, more, "random", 0.25)
    assert sorted(dealt.targets[:, -1]) == sorted(more.targets[:, -1])
    assert np.array_equal(controlled(run, more, "true", 0.25).targets, more.targets)
