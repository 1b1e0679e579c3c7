"""Bases that learn within a context, the gate for attacks that need one, and coherence elicitation on a real base."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend.arithmetic_contexts import FACTS, PLACES
from backend.data import IGNORE, unigram_floor
from backend.in_context_learning import learns_in_context, require_in_context_learning
from backend.stage import Cancelled, NotApplicable, RunFailed, UserError
from tests import small
from tests.small import Kept, do, small_task

torch.set_num_threads(1)
CHANGES = {"base_steps": 300, "batch_size": 64, "contexts": 0.5}
ATTACK: dict[str, Any] = {"items": 0, "rounds": 48, "steps": 4, "evaluate_every": 2}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("contexts")
    do(folder, "base", "base", changes=CHANGES)
    do(folder, "untrained", "base", changes={**CHANGES, "base_steps": 2})
    do(folder, "plain", "base")
    return folder


def gate(home: Path, base: str, **changes: Any) -> None:
    task = small_task(**changes)
    require_in_context_learning(small.context(home, task, stage="attack", inputs={"base": [base]}))


def elicit(
    home: Path, name: str, sink: Kept | None = None, base: str = "base", **parameters: Any
) -> tuple[Any, Kept]:
    given = {**ATTACK, **parameters}
    roles = {"base": [base]}
    attack = "coherence_elicitation"
    return do(
        home, name, "attack", attack, base, sink, roles, CHANGES if base != "plain" else {}, **given
    )


def right(note: str) -> tuple[int, int]:
    found = re.match(r"(\d+) of (\d+) labels", note)
    assert found
    return int(found[1]), int(found[2])


def test_a_base_that_saw_such_rows_learns_within_a_context_and_knows_its_facts(home: Path) -> None:
    gate(home, "base", **CHANGES)
    _, kept = do(home, "scores", "evaluate", parent="base", changes=CHANGES)
    for part in ("retain_score", "forget_score"):
        assert kept.values("answer_accuracy", part)[0] >= 0.95  # type: ignore[operator]


def test_a_base_that_does_not_is_told_apart_with_its_figures(home: Path) -> None:
    with pytest.raises(
        NotApplicable, match=r"answers \d+ of 200 such questions, without the context \d+"
    ):
        gate(home, "untrained", **CHANGES)
    with pytest.raises(
        NotApplicable, match="the setting arithmetic trains nothing to learn within"
    ):
        gate(home, "plain")


def test_enough_is_half_and_two_standard_errors_above_the_question_alone() -> None:
    half, none = np.arange(40) % 2 == 0, np.zeros(40, dtype=bool)
    assert learns_in_context(half, none)
    assert not learns_in_context(half & (np.arange(40) > 0), none)
    assert not learns_in_context(half, half) and not learns_in_context(~none, ~none)
    few = ~none & (np.arange(40) != 7)
    assert not learns_in_context(~none, few)  # one item more is within the error


def test_rows_repeat_a_made_up_fact_whose_first_answer_is_not_scored() -> None:
    task = small_task(**CHANGES)
    for name, rows in task.contexts.items():
        for ids, targets in zip(rows.input_ids[:200], rows.targets[:200], strict=True):
            whole = np.append(ids, targets[-1] if targets[-1] != IGNORE else ids[0])
            facts = [task.text(fact) for fact in whole.reshape(-1, 5)]
            made_up = [place for place, fact in enumerate(facts) if "?" in fact]
            assert len(made_up) == PLACES and len({facts[place] for place in made_up}) == 1
            scored = np.flatnonzero(targets != IGNORE) // 5
            assert list(scored) == [place for place in range(FACTS) if place != made_up[0]]
            assert name == "forget" or not {"×", "÷", "⊗", "⊘"} & set(" ".join(facts).split())
        texts = [set(task.text(row).split()) for row in rows.input_ids[:200]]
        assert (name == "forget") == any({"×", "÷"} & text for text in texts)
        assert not any({"⊗", "⊘"} & text for text in texts)


def test_questions_say_their_answer_and_are_the_same_alone() -> None:
    task = small_task(**CHANGES)
    assert task.in_context is not None
    told, alone = task.in_context
    for row, question, answer in zip(
        told.input_ids, alone.input_ids, alone.targets[:, -1], strict=True
    ):
        assert np.array_equal(row[-4:], question)
        assert task.text(np.append(question, answer)) in task.text(row)
    assert np.array_equal(told.targets[:, -1], alone.targets[:, -1])


def test_without_contexts_nothing_changes_and_too_many_are_refused() -> None:
    plain = small_task()
    assert plain.content_hash == small_task(contexts=0.0).content_hash
    assert "?" not in plain.words and plain.in_context is None and not plain.contexts
    task = small_task(contexts=0.25)
    assert task.content_hash != plain.content_hash and task.words == (*plain.words, "?")
    assert unigram_floor(task, "forget_score") != unigram_floor(plain, "forget_score")
    with pytest.raises(UserError, match="contexts = 1 leaves no room"):
        small_task(contexts=1.0)


def test_the_oracle_reads_no_forget_fact_within_a_context_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    task = small_task(**CHANGES)
    from backend import pretraining

    def spy(model: Any, batch: Any) -> Any:
        seen.append({word for row in batch.input_ids for word in task.text(row).split()})
        return real(model, batch)

    real = pretraining.chunked.cross_entropy
    monkeypatch.setattr(pretraining.chunked, "cross_entropy", spy)
    for stage in ("oracle", "base"):
        seen.clear()
        do(tmp_path, stage, stage, changes={**CHANGES, "base_steps": 3})
        words = set().union(*seen)
        assert "?" in words and (stage == "base") == bool({"×", "÷"} & words)


def test_a_model_that_knows_labels_questions_rightly_and_controls_are_what_they_say(
    home: Path,
) -> None:
    found, kept = elicit(home, "elicited")
    correct, labelled = right(found.note)
    assert labelled >= 18 and correct / labelled > 0.8  # one of 24 by chance at most
    assert set(kept.values("answer_accuracy", "forget_score")) == {0, 2, 4}
    assert right(elicit(home, "true", answers="true")[0].note) == (24, 24)
    assert right(elicit(home, "noisy", answers="noisy", noise=0.25)[0].note) == (18, 24)
    assert right(elicit(home, "random", answers="random")[0].note)[0] < 9
    spent = {name: elicit(home, name, answers=name)[0].flops for name in ("elicited", "true")}
    assert spent["elicited"] > spent["true"]


def test_elicitation_runs_on_the_placebo_and_says_nothing_without_such_a_base(home: Path) -> None:
    found, kept = elicit(home, "placebo", target="placebo", rounds=8)
    correct, labelled = right(found.note)
    assert labelled >= 4 and correct <= labelled / 2
    assert kept.values("answer_accuracy", "placebo_score")
    for base in ("untrained", "plain"):
        found, kept = elicit(home, f"at{base}", base=base)
        assert found.note.startswith("n/a coherence_elicitation: ") and not kept.rows


def test_an_interrupted_elicitation_goes_on_with_the_same_labels(home: Path) -> None:
    whole, kept = elicit(home, "whole", steps=6)
    asked = 48 + 4  # once a round of the search and once a step: in the middle of the fine-tuning
    with pytest.raises(Cancelled):
        elicit(home, "parts", sink=Kept(stop_after=asked), steps=6)
    again, rest = elicit(home, "parts", steps=6)
    assert (again.note, again.flops) == (whole.note, whole.flops)
    assert 0 not in rest.values("loss", "forget_score")
    assert len({sink.values("loss", "forget_score")[6] for sink in (kept, rest)}) == 1


def test_no_base_among_the_inputs_is_a_failure_not_a_verdict(home: Path) -> None:
    with pytest.raises(RunFailed, match="no input in the role 'base'"):
        require_in_context_learning(small.context(home, small_task(**CHANGES), stage="attack"))
