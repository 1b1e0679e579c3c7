"""Other prompts, generated answers, other ways to ask for an arithmetic fact; attacks that show facts in the prompt."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from backend.arithmetic_questions import Questions
from backend.attacks import few_shot as few_shot_part
from backend.attacks import in_context as in_context_part
from backend.data import IGNORE, Examples, answers_of
from backend.generation import as_correct, generated
from backend.models import build
from backend.prompts import (
    begun_truly,
    completed,
    fitting,
    prefilled,
    prefixed,
    shown_before,
)
from backend.stage import NotApplicable, reasons_in
from tests.planted import Copying
from tests.small import Kept, context, do, small_task

torch.set_num_threads(1)

# Two questions of 2 and 3 tokens with answers of 3 and 1 tokens.
EXAMPLES = Examples(
    np.array([[1, 2, 3, 4], [5, 6, 7, 0]]),
    np.array([[IGNORE, 3, 4, 9], [IGNORE, IGNORE, 8, IGNORE]]),
    ("long", "short"),
    ("one", "other"),
)


class Counting(torch.nn.Module):
    """After token t comes t + 1, or t + 2 half as often, or t + 3 a quarter as often."""

    config = SimpleNamespace(max_position_embeddings=8)

    def __init__(self) -> None:
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    def forward(self, input_ids: Any, logits_to_keep: Any, **ignored: Any) -> Any:
        logits = torch.full((*input_ids.shape, 30), -30.0)
        for more in (1, 2, 3):
            logits.scatter_(-1, ((input_ids + more) % 30)[..., None], -more * float(np.log(2)))
        return SimpleNamespace(logits=logits[:, logits_to_keep])


def test_completed_questions_hold_their_whole_answers() -> None:
    assert [text.tolist() for text in completed(EXAMPLES)] == [[1, 2, 3, 4, 9], [5, 6, 7, 8]]


def test_what_stands_before_a_question_is_read_and_not_scored() -> None:
    put = prefixed(EXAMPLES, [np.array([20]), np.array([21, 22, 23])])
    assert put.input_ids.tolist() == [[20, 1, 2, 3, 4, 0], [21, 22, 23, 5, 6, 7]]
    assert put.targets[0].tolist() == [IGNORE, IGNORE, 3, 4, 9, IGNORE]
    assert put.targets[1].tolist() == [IGNORE] * 5 + [8]
    assert (put.categories, put.families) == (EXAMPLES.categories, EXAMPLES.families)


def test_a_begun_answer_stands_between_the_question_and_the_true_one() -> None:
    put = prefilled(EXAMPLES, [20, 21])
    assert put.input_ids.tolist() == [[1, 2, 20, 21, 3, 4], [5, 6, 7, 20, 21, 0]]
    assert put.targets[0].tolist() == [IGNORE, IGNORE, IGNORE, 3, 4, 9]
    assert put.targets[1].tolist() == [IGNORE] * 4 + [8, IGNORE]


@pytest.mark.parametrize(("given", "left"), [(1, [4, 9]), (2, [9]), (7, [9])])
def test_what_is_given_away_of_an_answer_is_not_scored(given: int, left: list[int]) -> None:
    put = begun_truly(EXAMPLES, given)
    assert [a.tolist() for a in answers_of(put)] == [left, [8]]
    assert (put.input_ids == EXAMPLES.input_ids).all()


def test_answers_of_one_token_cannot_be_given_away_in_part() -> None:
    with pytest.raises(NotApplicable, match="one token"):
        begun_truly(EXAMPLES.take(np.array([1])), 1)


def test_only_strangers_are_shown_and_the_own_texts_that_are_asked_for() -> None:
    task = small_task()
    examples, known = task.splits["forget_score"], task.train["forget"]
    put = shown_before(examples, known, 2, seed=3)
    family = {text.tobytes(): name for text, name in zip(completed(known), known.families, strict=True)}  # fmt: skip
    for row, name in zip(put.input_ids, examples.families, strict=True):
        shown = [family[row[start : start + 5].tobytes()] for start in (0, 5)]
        assert name not in shown
    own = [[text] for text in completed(examples)]
    told = shown_before(examples, known, 2, seed=3, own=own)
    places = set()
    for row, (text,) in zip(told.input_ids, own, strict=True):
        found = [k for k in (0, 5, 10) if (row[k : k + 5] == text).all()]
        assert len(found) == 1
        places.update(found)
    assert places == {0, 5, 10}


def test_without_families_a_text_never_stands_before_itself() -> None:
    bare = replace(EXAMPLES, families=())
    put = shown_before(bare, bare, 2)
    assert put.input_ids[0].tolist() == [5, 6, 7, 8, 1, 2, 3, 4]
    assert put.input_ids[1].tolist() == [1, 2, 3, 4, 9, 5, 6, 7]


def test_prompts_that_are_too_long_are_refused_with_both_numbers() -> None:
    model = Counting()
    assert fitting(EXAMPLES, model) is EXAMPLES
    with pytest.raises(NotApplicable, match="9 tokens and the model reads 8"):
        fitting(prefixed(EXAMPLES, [np.arange(5)] * 2), model)
    model.context = torch.zeros(5)  # as a wrapper's own prompt
    with pytest.raises(NotApplicable, match="9 tokens"):
        fitting(EXAMPLES, model)


def test_greedy_answers_go_on_from_their_own_tokens_not_from_the_true_ones() -> None:
    found = generated(Counting(), EXAMPLES, tries=2)
    assert found.tolist() == [[[3, 4, 5], [8, 9, 10]]] * 2
    right = as_correct(EXAMPLES, found)
    assert right.tolist() == [[False, True]] * 2
    true = replace(EXAMPLES, targets=np.where(EXAMPLES.targets == 9, 5, EXAMPLES.targets))
    assert as_correct(true, found).all()


@pytest.mark.parametrize(
    ("temperature", "top_p", "shares"),
    [(1.0, 1.0, [4 / 7, 2 / 7, 1 / 7]), (0.5, 1.0, [16 / 21, 4 / 21, 1 / 21]), (1.0, 0.6, [2 / 3, 1 / 3, 0]), (1.0, 0.5, [1, 0, 0]), (1.0, 0.0, [1, 0, 0])],
)  # fmt: skip
def test_draws_have_the_shares_of_temperature_and_top_p(
    temperature: float, top_p: float, shares: list[float]
) -> None:
    generator = torch.Generator().manual_seed(1)
    found = generated(Counting(), EXAMPLES, temperature=temperature, top_p=top_p, tries=1500, length=1, generator=generator)  # fmt: skip
    for more, share in zip((1, 2, 3), shares, strict=True):
        assert (found[:, 0, 0] == 2 + more).mean() == pytest.approx(share, abs=0.05)


def test_generation_on_a_real_model_is_its_own_continuation() -> None:
    task = small_task()
    model = build(task.model, 0).train()
    examples = task.splits["forget_score"]
    found = generated(model, examples, length=3)
    assert model.training
    ids = torch.from_numpy(examples.input_ids)
    for _ in range(3):
        ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], dim=1)
    assert (found[0] == ids[:, 4:].numpy()).all()


def questions(forms: int = 1) -> tuple[Any, Questions]:
    task = small_task(forms=forms)
    return task, Questions(task.words, task.splits["retain_score"], task.splits["forget_attack"])


@pytest.mark.parametrize("forms", [1, 3])
def test_every_rewrite_keeps_rows_and_asks_for_a_true_fact(forms: int) -> None:
    task, asked = questions(forms)
    signs = {"+": int.__add__, "−": int.__sub__, "×": int.__mul__, "÷": int.__floordiv__}
    for split in ("forget_score", "retain_score"):
        examples = task.splits[split]
        for group in asked.rewrites(forms).values():
            for name, rewrite in group.items():
                put = rewrite(examples)
                assert len(put) == len(examples) and put.categories == examples.categories
                if name.startswith(("equals", "nothing", "affirmative")):
                    assert [a.tolist() for a in answers_of(put)] == [a.tolist() for a in answers_of(examples)]  # fmt: skip
                    continue
                for left, sign, right, answer in asked.read(put):
                    assert signs[sign](left, right) == answer


def test_no_probe_tells_the_answer_but_by_choices() -> None:
    task, asked = questions()
    for split in ("forget_score", "retain_score", "placebo_score"):
        examples = task.splits[split]
        other = replace(examples, targets=np.where(examples.targets == IGNORE, IGNORE, 0))
        for name, probe in asked.rewrites(1)["rwku_probes"].items():
            if name not in ("multiple_choice", "reverse_query", "synonym_manipulation"):
                put = [probe(e) for e in (examples, other)]
                assert (put[0].input_ids == put[1].input_ids).all(), name


def test_hints_are_true_facts_of_other_operations() -> None:
    task, asked = questions()
    for split in ("forget_score", "placebo_score", "retain_score"):
        examples = task.splits[split]
        for row, (a, op, b, _) in zip(asked.with_hint(examples).input_ids, asked.read(examples), strict=True):  # fmt: skip
            left, sign, right, equals, total = (task.words[i] for i in row[:5])
            assert (sign, equals) in (("+", "="), ("−", "="))
            assert int(total) == (int(left) + int(right) if sign == "+" else int(left) - int(right))
            assert {int(left), int(right)} <= {a, b} and not (sign == op == "+" and a != b)


def test_choices_hold_the_answer_once_and_in_every_place() -> None:
    task, asked = questions()
    examples = task.splits["forget_score"]
    put = asked.with_choices(examples)
    places = [np.flatnonzero(row[:4] == a[0]) for row, a in zip(put.input_ids, answers_of(examples), strict=True)]  # fmt: skip
    assert all(len(found) == 1 for found in places)
    assert len({int(found[0]) for found in places}) == 4


@pytest.mark.parametrize("count", [1, 3, 12])
def test_wrong_answers_are_different_numbers_even_where_few_questions_are_asked(count: int) -> None:
    task, asked = questions()
    for examples in (task.splits["forget_score"], task.splits["forget_score"].take(np.array([0]))):
        for wrong, answer in zip(asked.wrong(examples, count), answers_of(examples), strict=True):
            numbers = {int(w[0]) for w in wrong}
            assert len(numbers) == count and int(answer[0]) not in numbers
            assert all(task.words[n].isdecimal() for n in numbers)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompts")
    do(folder, "base", "base")
    return folder


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the base had shown that it learns within a context."""
    for part in (in_context_part, few_shot_part):
        monkeypatch.setattr(part, "require_in_context_learning", lambda run: None)


def copied(home: Path, part: Any, **parameters: Any) -> tuple[float, Kept]:
    """What a model that copies from its prompt answers under an attack."""
    sink, task = Kept(), small_task()
    run = context(home, task, sink, stage="attack", parent="base")
    model = Copying(build(task.model, 0), task)
    getattr(part, part.__name__.rsplit(".", 1)[1])(model, task, run, **parameters)
    (accuracy,) = sink.values("answer_accuracy", "forget_score").values()
    assert accuracy is not None
    return accuracy, sink


@pytest.mark.usefixtures("reading")
def test_a_fact_in_the_prompt_is_copied_and_others_are_not(home: Path) -> None:
    assert copied(home, in_context_part, shown="fact", count=3)[0] == 1.0
    assert copied(home, in_context_part, shown="fact", count=0)[0] == 1.0
    assert copied(home, few_shot_part, shots=5)[0] == 0.0
    examples = small_task().splits["forget_score"]
    doubles = [text.split() for text in map(small_task().text, examples.input_ids)]
    # Of a twin with the operands in the other order only squares are the very question.
    squares = np.mean([a == b if op == "×" else int(a) == int(b) ** 2 for a, op, b, _ in doubles])
    assert copied(home, in_context_part, shown="siblings")[0] == pytest.approx(squares)


@pytest.mark.usefixtures("reading")
def test_no_shots_are_the_plain_question_and_too_many_do_not_fit(home: Path) -> None:
    sink, task = Kept(), small_task()
    run = context(home, task, sink, stage="attack", parent="base")
    model = run.fresh_model()
    few_shot_part.few_shot(model, task, run, shots=0)
    plain = run.evaluate(model, "forget_score")
    rows = {(r.metric, r.category): r.value for r in sink.rows if r.split == "forget_score"}
    assert all(rows[(r.metric, r.category)] == r.value for r in plain)
    with pytest.raises(NotApplicable, match="104 tokens and the model reads 64"):
        few_shot_part.few_shot(model, task, run, shots=20)


@pytest.mark.parametrize("name", ["in_context", "few_shot"])
def test_a_base_that_does_not_learn_within_a_context_makes_them_say_nothing(
    home: Path, name: str
) -> None:
    outcome, kept = do(home, "x", "attack", name, parent="base", inputs={"base": ["base"]})
    assert "context" in reasons_in(outcome.note)[name] and not kept.rows
