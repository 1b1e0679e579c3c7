"""Distillation from an ensemble: the mean of probabilities, siblings as runs of their own, charged once."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from backend import catalogue, child, plan, results, study
from backend.checkpoints import load_model
from backend.context import RunContext
from backend.ensemble import Ensemble
from backend.models import build, scored_logits
from backend.sampling import sampled_answers
from backend.stage import UserError
from db import reads, writes
from db.session import require_database
from tests import small
from tests.small import do
from tests.small_study import SETTING

torch.set_num_threads(1)
SHORT = {"steps": 4, "tolerance": 0.0}


def source(
    *students: dict[str, Any], seeds: list[int] | None = None, **recipe: Any
) -> dict[str, Any]:
    recipes = [
        {
            "suppress": {"name": "max_ent", "steps": 3},
            "robustify": {"name": "distill", "teacher": "ensemble", **SHORT, **student},
            **recipe,
        }
        for student in students or ({},)
    ]
    return {
        "name": "ensembles",
        "setting": SETTING,
        "seeds": seeds or [0],
        "recipes": recipes,
        "attacks": [{"name": "relearn", "learning_rate": [1e-3], "steps": 10}],
    }


def planned(given: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """(students, all runs by fingerprint) of a study."""
    runs = study.resolve(given).runs
    return [r for r in runs if r.stage == "robustify"], {r.fingerprint: r for r in runs}


context = partial(small.context, stage="robustify")


def three(home: Path) -> tuple[RunContext, list[Any]]:
    run = context(home)
    return run, [build(run.task.model, seed) for seed in (1, 2, 3)]


def test_an_ensemble_says_the_mean_of_its_members_probabilities(tmp_path: Path) -> None:
    run, members = three(tmp_path)
    batch = run.loader(run.task.train["forget"]).batch(slice(0, 20))
    ensemble = Ensemble(members)
    with torch.no_grad():
        mean = torch.stack([scored_logits(m, batch).double().softmax(-1) for m in members]).mean(0)
        found = scored_logits(ensemble, batch)
    torch.testing.assert_close(found.double().softmax(-1), mean, atol=1e-7, rtol=1e-5)
    torch.testing.assert_close(found.double(), mean.log(), atol=1e-5, rtol=1e-5)
    torch.manual_seed(0)
    assert sampled_answers(ensemble, batch).targets.shape == batch.targets.shape
    with torch.no_grad():
        alone = scored_logits(Ensemble(members[:1]), batch).softmax(-1)
        torch.testing.assert_close(alone, scored_logits(members[0], batch).softmax(-1))


def test_a_pass_of_an_ensemble_costs_its_members_passes(tmp_path: Path) -> None:
    run, members = three(tmp_path)
    batch = run.loader(run.task.train["forget"]).batch(slice(0, 20))
    with torch.no_grad(), run.meter.watching(members[0]):
        scored_logits(members[0], batch)
    one, run.meter.flops = run.meter.flops, 0.0
    ensemble = Ensemble(members)
    with run.meter.watching(ensemble):
        scored_logits(ensemble, batch)
    assert run.meter.flops == pytest.approx(3 * one) and run.meter.tokens == 0


def test_teachers_are_the_same_suppression_of_the_same_base_with_other_seeds() -> None:
    students, runs = planned(source({}, seeds=[0, 1]))
    assert [len(s.inputs["teachers"]) for s in students] == [2, 2]
    for student in students:
        parent = runs[student.parent]
        siblings = [runs[f] for f in student.inputs["teachers"]]
        assert len({parent.seed, *(s.seed for s in siblings)}) == 3
        for one in siblings:
            same = ("stage", "name", "parameters", "parent", "inputs")
            assert [getattr(one, key) for key in same] == [getattr(parent, key) for key in same]
            assert not any(r.stage == "attack" and r.parent == one.fingerprint for r in runs.values())  # fmt: skip
    order = list(runs)
    assert all(order.index(f) < order.index(s.fingerprint) for s in students for f in s.inputs["teachers"])  # fmt: skip


def test_configurations_share_siblings_and_more_teachers_add_to_them() -> None:
    students, _ = planned(
        source({"student": ["random", "noised"]}, {"teachers": 4}, {"teachers": 1})
    )
    named = [student.inputs["teachers"] for student in students]
    assert named[0] == named[1] == named[2][:2]
    assert [len(names) for names in named] == [2, 2, 3, 0]


def test_siblings_follow_a_training_time_method() -> None:
    (student,), runs = planned(source(pretrain="data_filtering"))
    parent = runs[student.parent]
    assert runs[parent.parent].stage == "pretrain"
    assert {runs[f].parent for f in student.inputs["teachers"]} == {parent.parent}


def test_siblings_read_the_oracle_of_the_seed_that_they_belong_to(monkeypatch: Any) -> None:
    part = catalogue.part

    def with_oracle(kind: str, name: str) -> catalogue.Part:
        found = part(kind, name)
        needs = {"needs": {"oracle": {}}} if name == "max_ent" else {}
        return replace(found, declared={**found.declared, **needs})

    monkeypatch.setattr(catalogue, "part", with_oracle)
    students, runs = planned(source(seeds=[3, 4]))
    for student in students:
        (oracle,) = runs[student.parent].inputs["oracle"]
        assert runs[oracle].seed == student.seed
        assert all(runs[f].inputs == {"oracle": [oracle]} for f in student.inputs["teachers"])


def test_labels_and_a_searchs_trials_are_handed_to_siblings() -> None:
    (student,), runs = planned(source(label_fraction=0.25))
    told = [runs[f].parameters["labels"] for f in (student.parent, *student.inputs["teachers"])]
    assert told[0] == told[1] == told[2] and told[0]["fraction"] == 0.25

    search = {"trials": 2, "space": {"forget_weight": [0.5, 2.0]}}
    (student,), runs = planned(source(search=search))
    three = [runs[f] for f in (student.parent, *student.inputs["teachers"])]
    assert all(r.parameters["search"] == three[0].parameters["search"] for r in three)
    assert all(r.inputs == three[0].inputs and len(r.inputs["trials"]) == 2 for r in three)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"suppress": None}, "no suppress stage"),
        ({"search": {"trials": 2, "space": {"teachers": [2, 4]}}}, "cannot be searched"),
    ],
)
def test_an_ensemble_that_cannot_be_is_one_sentence(change: dict[str, Any], sentence: str) -> None:
    given = source(**change)
    given["recipes"] = [
        {key: value for key, value in recipe.items() if value is not None}
        for recipe in given["recipes"]
    ]
    with pytest.raises(UserError, match=sentence) as caught:
        study.resolve(given)
    assert "\n" not in str(caught.value)


def test_the_number_of_teachers_leaves_other_students_their_names() -> None:
    def names(**student: Any) -> list[str]:
        return [s.fingerprint for s in planned(source({"teacher": "parent", **student}))[0]]

    assert names() == names(teachers=3) != names(teachers=4)


def test_a_student_imitates_the_ensemble_and_not_its_parent(tmp_path: Path) -> None:
    do(tmp_path, "base", "base")
    do(tmp_path, "a", "suppress", "max_ent", parent="base", steps=10, learning_rate=3e-3)
    do(tmp_path, "b", "suppress", "grad_diff", parent="base", steps=10, learning_rate=3e-3)
    inputs = {"teachers": ["b", "base"]}
    course = {"steps": 5, "tolerance": 0.0, "student": "noised", "alpha": 0.0}
    shared = {"parent": "a", "inputs": inputs, **course}
    many, kept = do(tmp_path, "e", "robustify", "distill", teacher="ensemble", teachers=3, **shared)
    one, _ = do(tmp_path, "p", "robustify", "distill", **shared)
    assert many.flops > one.flops and many.steps == one.steps == 5
    run = context(tmp_path)
    members = [load_model(tmp_path, name, run.fresh_model()) for name in ("a", "b", "base")]
    goal = run.metric(Ensemble(members), "retain_validation", run.task.retain_metric)
    assert kept.values("answer_accuracy", "retain_validation")[0] == goal


def test_a_study_with_an_ensemble_runs_to_its_frontier_and_charges_every_teacher_once() -> None:
    engine = require_database()
    resolved = study.resolve({**source({"student": ["random", "noised"]}), "attacks": []})
    rows = plan.as_rows(resolved.runs)
    writes.submit(engine, name="ensembles", document=resolved.document, runs=rows)
    while held := writes.claim(engine, "test", 30.0):
        assert child.run_once(engine, held.run_id, held.attempt) == "complete"
    record = results.known_study(engine, "ensembles")
    runs = reads.study_runs(engine, record.id)
    flops = {(r["stage"], r["seed"], str(r["parameters"])): r["flops"] for r in runs.to_dict("records")}  # fmt: skip
    suppressions = [value for (stage, _, _), value in flops.items() if stage == "suppress"]
    assert len(suppressions) == 3
    oracle = next(value for (stage, _, _), value in flops.items() if stage == "oracle")
    students = {key[2]: value for key, value in flops.items() if key[0] == "robustify"}
    found = results.frontier_document(engine, "ensembles")["rows"]
    for row in (row for row in found if row["method"] == "distill"):
        own = students[str(row["stages"][-1]["parameters"])]
        expected = (own + sum(suppressions)) / oracle
        assert row["compute"]["values"] == [pytest.approx(expected)]
    (plain,) = [row for row in found if row["method"] == "max_ent"]
    assert plain["compute"]["values"] == [pytest.approx(suppressions[0] / oracle)]
