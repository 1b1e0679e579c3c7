"""From study files to plans: checks, grids, fingerprints."""

import json
from pathlib import Path
from typing import Any

import pytest

from backend import catalogue, plan, study
from backend.stage import UserError

GOLDEN = Path(__file__).parent / "golden_fingerprints.json"


def small(**changes: Any) -> dict[str, Any]:
    source = {
        "name": "small",
        "setting": {"name": "arithmetic", "addends": 6, "factors": 6, "base_steps": 4},
        "seeds": [0],
        "recipes": [{"suppress": {"name": "max_ent", "steps": 2}}],
        "attacks": [{"name": "relearn", "learning_rate": [1e-3, 1e-2], "steps": 10}],
    }
    return {**source, **changes}


def test_quick_holds_exactly_what_the_design_names() -> None:
    labels = [c["label"] for c in study.resolve(study.load("quick")).document["configurations"]]
    undo = [f"MaxEnt → UNDO (α {alpha})" for alpha in (0.2, 0.4, 0.6, 0.8, 0.9)]
    assert labels == ["Base", "Oracle", "GradDiff", "MaxEnt", *undo, "MaxEnt → Distil"]


def test_the_controls_share_their_runs_with_quick() -> None:
    quick = {run.fingerprint for run in study.resolve(study.load("quick")).runs}
    controls = study.resolve(study.load("quick_controls"))
    names = {(run.stage, run.name) for run in controls.runs if run.fingerprint in quick}
    assert {("base", "base"), ("oracle", "oracle"), ("suppress", "max_ent")} <= names
    assert ("attack", "relearn") in names


def test_parents_come_before_children_and_anchors_before_recipes() -> None:
    runs = study.resolve(study.load("quick_controls")).runs
    seen: set[str] = set()
    for run in runs:
        given = [run.parent, *(f for group in run.inputs.values() for f in group)]
        assert all(f in seen for f in given if f)
        seen.add(run.fingerprint)
    stages = [run.stage for run in runs]
    assert stages.index("oracle") < stages.index("attack") < stages.index("suppress")


def test_every_prefix_is_evaluated_and_attacked_by_the_same_grid() -> None:
    runs = study.resolve(study.load("quick")).runs
    models = [run for run in runs if run.stage not in ("evaluate", "attack")]
    for model in models:
        children = [run for run in runs if run.parent == model.fingerprint]
        assert sum(run.stage == "evaluate" for run in children) == 1
        assert sum(run.stage == "attack" for run in children) == 5


def test_a_list_is_a_grid() -> None:
    undo = {"name": "undo", "alpha": [0.2, 0.4], "beta": [0.0, 0.1]}
    recipes = [{"suppress": ["max_ent"][0], "robustify": undo}]
    resolved = study.resolve(small(recipes=recipes))
    assert sum(c["method"] == "undo" for c in resolved.document["configurations"]) == 4


def test_two_seeds_double_the_runs_and_share_none() -> None:
    one, two = study.resolve(small()), study.resolve(small(seeds=[0, 1]))
    assert len(two.runs) == 2 * len(one.runs)
    assert {r.fingerprint for r in one.runs} < {r.fingerprint for r in two.runs}


def test_placebo_cells_are_run_on_the_base_only() -> None:
    runs = study.resolve(small(placebo=True)).runs
    placebo = [run for run in runs if run.parameters.get("target") == "placebo"]
    base = next(run for run in runs if run.stage == "base")
    assert len(placebo) == 2 and all(run.parent == base.fingerprint for run in placebo)


def test_a_second_oracle_has_its_cells() -> None:
    resolved = study.resolve(small(oracles=2))
    oracle = resolved.document["configurations"][1]
    twin = oracle["twins"]["0"]
    assert twin != oracle["runs"]["0"]
    assert sum(run.parent == twin and run.stage == "attack" for run in resolved.runs) == 2


def test_inputs_are_named_only_where_a_parameter_asks_for_them() -> None:
    recipes = [
        {"robustify": {"name": "distill", "teacher": "oracle", "student": ["base", "random"]}}
    ]
    students = [r for r in study.resolve(small(recipes=recipes)).runs if r.stage == "robustify"]
    assert [sorted(run.inputs) for run in students] == [["base", "oracle"], ["oracle"]]


def test_a_parameter_at_its_neutral_value_is_left_out_of_the_fingerprint() -> None:
    before = plan.fingerprint({"parameters": {"alpha": 0.5}})
    added = plan.without_neutral({"alpha": 0.5, "new": 0}, {"new": 0})
    assert plan.fingerprint({"parameters": added}) == before
    changed = plan.without_neutral({"alpha": 0.5, "new": 1}, {"new": 0})
    assert plan.fingerprint({"parameters": changed}) != before


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    """Every shipped study, planned; those of large data as outlines."""
    return [study.resolve(study.load(name), outline=True).document for name in catalogue.studies()]


def test_fingerprints_are_the_golden_ones(documents: list[dict[str, Any]]) -> None:
    """A change here renames runs that people have: raise a `version` instead, or give a neutral value.

    Studies whose data are not here have no fingerprints as yet.
    """
    found = {
        document["name"]: {
            c["label"]: c["runs"][str(document["seeds"][0])] for c in document["configurations"]
        }
        for document in documents
        if not document["setting"].get("absent")
    }
    assert len(found) < len(documents)
    assert found == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_overrides_reach_tables_lists_and_values() -> None:
    overrides = [
        "seeds=[1,2]",
        "recipes.2.robustify.alpha=0.5",
        "setting.base_steps=7",
        "attacks.0.steps=20",
    ]
    source = study.load("quick", overrides)
    assert source["seeds"] == [1, 2] and source["setting"]["base_steps"] == 7
    assert source["recipes"][2]["robustify"]["alpha"] == 0.5
    named = study.load("quick", ["recipes.0.suppress.steps=5", "setting.family=gemma2"])
    assert named["recipes"][0]["suppress"] == {"name": "grad_diff", "steps": 5}
    assert study.resolve(named).document["setting"]["parameters"]["family"] == "gemma2"


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("seeds", "form KEY=VALUE"),
        ("recipes.9.suppress=1", "not an index"),
        ("seeds=[", "not a TOML value"),
        ("name.first=1", "no table|not a table"),
    ],
)
def test_a_wrong_override_is_one_sentence(override: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        study.load("quick", [override])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seeds": []}, "at least one whole number"),
        (
            {"setting": {"name": "arithmetic", "addends": 10**30}},
            f"addends = {10**30} must be at most 1,000",
        ),
        ({"setting": {"name": "arithmetic_text", "problems": 10**9}}, "must be at most 1,000,000"),
        ({"setting": {"name": "authors", "repeats": 10**9}}, "must be at most 1,000"),
        ({"seeds": [0, 0]}, "names a seed twice"),
        ({"seeds": [-1]}, "whole number from 0"),
        ({"seeds": "0"}, "must be a list"),
        ({"recipes": [{"suppress": "npoo"}]}, "no method 'npoo'"),
        ({"recipes": [{"suppress": "undo"}]}, "stage robustify, not of suppress"),
        ({"recipes": [{"supress": "max_ent"}]}, "no key 'supress'; its keys: pretrain, suppress"),
        ({"recipes": [{}]}, "empty"),
        ({"recipes": "max_ent"}, "list of tables"),
        ({"recipes": [{"suppress": {"name": "max_ent", "steps": -1}}]}, "steps = -1"),
        ({"recipes": [{"suppress": {"name": "max_ent", "steps": []}}]}, "empty grid"),
        ({"recipes": [{"robustify": {"name": "undo", "alpha": 1.5}}]}, "alpha = 1.5"),
        (
            {"attacks": [{"name": "relearnn"}]},
            "no attack 'relearnn'; there are: .*relearn, relearn_lora",
        ),
        ({"setting": {"name": "arithmetic", "factors": 1}}, "forget set empty"),
        ({"setting": {"name": "tofu"}}, "no setting 'tofu'; there are: arithmetic"),
        ({"oracles": 3}, "oracles = 3 is not one of 1, 2"),
        ({"budget": 3}, "a study has no key 'budget'"),
        ({"name": ""}, "must be a text"),
    ],
)
def test_a_wrong_study_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        study.resolve(small(**changes))
    assert "\n" not in str(caught.value)


def test_a_damaged_file_and_an_unknown_name_are_one_sentence(tmp_path: Path) -> None:
    damaged = tmp_path / "mine.toml"
    damaged.write_text("seeds = [")
    with pytest.raises(UserError, match="mine.toml is not valid TOML"):
        study.load(str(damaged))
    with pytest.raises(UserError, match="no study .quik.; give one of .*quick"):
        study.load("quik")


def test_labels_tell_all_configurations_apart(documents: list[dict[str, Any]]) -> None:
    for document in documents:
        configurations = document["configurations"]
        assert len({c["label"] for c in configurations}) == len(configurations)
