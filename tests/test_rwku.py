"""RWKU's form: its files, probes by level and person, neighbours, recall of greedy answers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend.data import Task, answers_of
from backend.examination import Examination
from backend.models import build
from backend.prompts import completed
from backend.registry import load
from backend.samples import people
from backend.settings import build_task
from backend.settings.rwku import ANSWERED
from backend.stage import UserError
from backend.text.tokenizers import parsed
from tests.small import context

torch.set_num_threads(1)
PARAMETERS = {"source": "sample", "vocabulary": 400, "base_steps": 2, "batch_size": 4}


@pytest.fixture(scope="module")
def task() -> Task:
    return build_task("rwku", PARAMETERS)


def published(folder: Path) -> Path:
    """The sample's parts as the files of the published collection, which has texts to forget and none to keep."""
    for name, rows in people.parts().items():
        config = name.split("/")[0]
        if config not in ("attack", "retain"):
            path = folder / f"{config}.json"
            path.write_text(json.dumps(list(rows())), encoding="utf-8")
    return folder


def test_a_folder_of_the_published_form_gives_what_the_sample_gives(
    task: Task, tmp_path: Path
) -> None:
    found = build_task("rwku", {**PARAMETERS, "source": str(published(tmp_path))})
    for name in ("forget_score", "retain_validation"):
        assert found.splits[name].categories == task.splits[name].categories
        mine, theirs = ([t.text(row) for row in completed(t.splits[name])] for t in (found, task))
        assert mine == theirs
    kept = found.text(found.train["retain"].input_ids.flatten())
    assert next(iter(people.parts()["mia_retain/test"]()))["text"] in kept


def test_probes_are_split_by_person_and_named_by_level(task: Task) -> None:
    for role, levels in (("forget", {"FB", "QA", "AA"}), ("retain", {"FB", "QA"})):
        chosen, scored = (task.splits[f"{role}_{part}"] for part in ("validation", "score"))
        assert not set(chosen.subjects) & set(scored.subjects)
        assert {name.split()[0] for name in scored.categories} == levels
    types = {name.removeprefix("AA ") for name in task.splits["forget_score"].categories if " " in name}  # fmt: skip
    assert types == set(people.ADVERSARIAL)


def test_a_blank_a_question_and_an_attack_are_put_in_their_own_forms(task: Task) -> None:
    examples = task.splits["forget_score"]
    by_kind = {kind: task.text(examples.input_ids[i]) for i, kind in enumerate(examples.categories)}
    assert by_kind["FB"].startswith("Blank: ") and "___" in by_kind["FB"]
    assert by_kind["QA"].startswith("Question: ") and "\nAnswer:" in by_kind["QA"]
    begun = by_kind["AA affirmative suffix"]
    assert "Sure, here it is:" in begun and "\nAnswer:" not in begun


def test_whom_an_attacker_may_learn_nobody_is_asked_about(task: Task) -> None:
    asked = set(task.splits["forget_score"].subjects) | set(task.splits["forget_validation"].subjects)  # fmt: skip
    attack = task.text(task.splits["forget_attack"].input_ids.flatten())
    forget = task.text(task.train["forget"].input_ids.flatten())
    retain = task.text(task.train["retain"].input_ids.flatten())
    assert len(asked) == people.PEOPLE["forget"]
    assert not [person for person in asked if person in attack or person in retain]
    assert all(person in forget for person in asked)
    assert all(person in retain for person in task.splits["retain_score"].subjects)


def test_a_few_people_may_be_the_targets() -> None:
    found = build_task("rwku", {**PARAMETERS, "subjects": 4})
    asked = set(found.splits["forget_score"].subjects) | set(found.splits["forget_validation"].subjects)  # fmt: skip
    rows = people.parts()["forget_level2/test"]()
    assert asked == set(list(dict.fromkeys(row["subject"] for row in rows))[:4])


def test_recall_is_told_by_level_and_type(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = parsed(task.tokenizer)
    examined = Examination(context(Path("/nowhere"), task), build(task.model, 0))

    def half(model: Any, examples: Any, length: int | None = None) -> np.ndarray:
        """The truth to questions and another line; nothing of use to all else."""
        assert length == ANSWERED
        found = np.zeros((1, len(examples), length), dtype=np.int64)
        for row, truth in enumerate(answers_of(examples)):
            right = examples.categories[row] == "QA"
            text = f"{cut.decode(truth.tolist()) if right else ' none'}\nand more"
            ids = cut.encode(text).ids[:length]
            found[0, row, : len(ids)] = ids
        return found

    monkeypatch.setattr("backend.rouge.generated", half)
    found = load("metrics", "probe_recall")(examined)
    assert found["forget_score", "QA"].mean() == 1.0
    assert found["forget_score", "FB"].mean() == found["forget_score", "AA"].mean() == 0.0
    assert found["retain_score"].mean() == pytest.approx(0.5)
    kinds = {key[1] for key in found if isinstance(key, tuple) and key[0] == "forget_score"}
    assert {"AA role playing", "AA cross lingual"} <= kinds
    assert len(found["forget_score", "AA"]) == sum(k.startswith("AA") for k in task.splits["forget_score"].categories)  # fmt: skip


def test_membership_texts_are_scored_from_their_second_token(task: Task) -> None:
    first = next(iter(people.parts()["mia_forget/test"]()))["text"]
    ids = parsed(task.tokenizer).encode(first).ids
    row = task.splits["members_score"]
    assert row.input_ids[0, : len(ids) - 1].tolist() == ids[:-1]
    assert row.targets[0, : len(ids) - 1].tolist() == ids[1:]
    assert {"members_score", "kept_score"} <= set(task.splits) and task.unseen is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"source": ""}, "a dataset of the hub such as jinzhuoran/RWKU"),
        ({"subjects": 1}, "probes about 1 people cannot be split"),
        ({"base_steps": 0}, "that fits a released model only"),
        ({"validation_share": 0.0}, "must be above 0 and below 1"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build_task("rwku", {**PARAMETERS, **changes})


def test_a_probe_without_an_answer_is_named(tmp_path: Path) -> None:
    published(tmp_path)
    path = tmp_path / "forget_level1.json"
    path.write_text(json.dumps([{"query": "q", "subject": "s"}]), encoding="utf-8")
    with pytest.raises(UserError, match="must have rows with query and answer; one has query, subject"):  # fmt: skip
        build_task("rwku", {**PARAMETERS, "source": str(tmp_path)})


@pytest.mark.slow
def test_a_study_with_its_metrics_runs(tmp_path: Path, monkeypatch: Any) -> None:
    from backend import study
    from backend.recipe import execute
    from backend.stage import StageRequest, reasons_in
    from tests.small import Kept

    monkeypatch.setenv("LETHE_HOME", str(tmp_path))
    metrics = ["probe_recall", "ngram_entropy"]
    source = {"setting": {"name": "rwku", **PARAMETERS, "subjects": 3}, "metrics": metrics}
    kept = Kept()
    given = ("stage", "name", "parameters", "setting", "seed", "precision", "fingerprint", "parent", "inputs")  # fmt: skip
    for run in study.resolve(source).runs:
        told = {key: getattr(run, key) for key in given}
        outcome = execute(StageRequest(home=tmp_path, **told), kept)
        assert not reasons_in(outcome.note)
    measured = {(row.metric, row.split) for row in kept.rows if not row.category}
    assert {
        (name, f"{role}_score") for name in metrics for role in ("forget", "retain")
    } <= measured
    assert {("loss", "members_score"), ("loss", "kept_score")} <= measured
