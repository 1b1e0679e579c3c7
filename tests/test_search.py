"""Search of parameters: which trials there are, what they cost, and that validation data alone choose."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from backend import catalogue, plan, results, study, worker
from backend.checkpoints import read
from backend.choosing import winner
from backend.recovery import Scale
from backend.search import checked, trials
from backend.stage import UserError
from db import reads, writes
from db.session import require_database
from tests.small import do
from tests.small_study import SETTING

NPO = catalogue.part("methods", "npo")


def source(**search: Any) -> dict[str, Any]:
    table = {"trials": 3, "space": {"learning_rate": [1e-4, 1e-2]}, **search}
    return {
        "name": "searched",
        "setting": SETTING,
        "seeds": [3, 4],
        "recipes": [{"suppress": {"name": "npo", "steps": 5}, "search": table}],
        "attacks": [{"name": "relearn", "learning_rate": [1e-3], "steps": 10}],
    }


def test_trials_fill_a_logarithmic_range_stratum_by_stratum() -> None:
    search = checked(NPO, {"trials": 8, "space": {"learning_rate": [1e-4, 1e-2]}})
    found = [trial["learning_rate"] for trial in trials(NPO, search)]

    strata = sorted(int(8 * math.log10(value / 1e-4) / 2) for value in found)
    assert strata == list(range(8))
    assert found == [trial["learning_rate"] for trial in trials(NPO, search)]


def test_linear_ranges_whole_numbers_and_choices() -> None:
    space = {"steps": [20, 60], "retain_loss": {"choices": ["nll", "kl"]}}
    found = trials(NPO, checked(NPO, {"trials": 4, "space": space}))
    assert all(isinstance(t["steps"], int) and 20 <= t["steps"] <= 60 for t in found)
    assert sorted(t["retain_loss"] for t in found) == ["kl", "kl", "nll", "nll"]


@pytest.mark.parametrize(
    ("search", "says"),
    [
        ({"space": {"learning_rate": [1e-2, 1e-4]}}, "the smaller first"),
        ({"space": {"learning_rate": [-1.0, 1e-4]}}, "must be above 0"),
        ({"space": {"retain_loss": [1, 2]}}, "is no number"),
        ({"space": {"retain_loss": {"choices": ["mse"]}}}, "not one of nll, kl"),
        ({"space": {}}, "must be a table with a space"),
        ({"space": {"retain_loss": {"choices": []}}}, "has no choices"),
        ({"trials": 0, "space": {"beta": [0.1, 1]}}, "trials = 0"),
        ({"tries": 3, "space": {"beta": [0.1, 1]}}, "no key 'tries'"),
        ({"space": {"alpha": [0.1, 0.2]}}, "not all parameters of npo"),
    ],
)
def test_a_search_that_cannot_be_is_one_sentence(search: dict[str, Any], says: str) -> None:
    given = {**source(), "recipes": [{"suppress": "npo", "search": search}]}
    with pytest.raises(UserError, match=says):
        study.resolve(given)


def test_the_plan_has_trials_on_the_first_seed_and_one_chosen_run_a_seed() -> None:
    runs = study.resolve(source()).runs
    stages = [run for run in runs if run.stage == "suppress"]
    tried = [run for run in stages if "search" not in run.parameters]
    chosen = [run for run in stages if "search" in run.parameters]
    assert len(tried) == 3 and {run.seed for run in tried} == {3}
    assert [run.seed for run in chosen] == [3, 4]
    for run in chosen:
        assert run.inputs["trials"] == [trial.fingerprint for trial in tried]
    attacked = {run.parent for run in runs if run.stage == "attack"}
    assert not attacked & {trial.fingerprint for trial in tried}
    evaluated = {run.parent for run in runs if run.stage == "evaluate"}
    assert {trial.fingerprint for trial in tried} <= evaluated
    assert runs.index(tried[-1]) < runs.index(chosen[0])


def test_the_search_and_not_its_outcome_names_the_chosen_run() -> None:
    def names(**search: Any) -> list[str]:
        found = study.resolve(source(**search)).runs
        return [r.fingerprint for r in found if "search" in r.parameters]

    assert names() == names()
    assert names() != names(trials=4)
    assert names() != names(utility_floor=0.5)


def test_the_label_says_how_many_were_tried() -> None:
    document = study.resolve(source()).document
    assert document["configurations"][-1]["label"] == "NPO (steps 5, best of 3)"


def test_a_searched_study_runs_to_its_frontier_and_says_what_was_chosen(tmp_path: Path) -> None:
    engine = require_database()
    resolved = study.resolve(source(utility_floor=0.5))
    rows = plan.as_rows(resolved.runs)
    writes.submit(engine, name="searched", document=resolved.document, runs=rows)
    assert worker.work(engine, slots=1, until_idle=True)
    record = results.known_study(engine, "searched")
    runs = reads.study_runs(engine, record.id)
    chosen = [r for r in runs.to_dict("records") if "search" in r["parameters"]]
    tried = runs[(runs["stage"] == "suppress") & (runs["seed"] == 3)]
    tried = tried[[("search" not in p) for p in tried["parameters"]]]
    for run in chosen:
        told = (reads.run(engine, int(run["id"])) or {})["chosen"]
        assert len(told["trials"]) == 3
        assert told["parameters"] in [row["parameters"] for row in told["trials"]]
    (row,) = [r for r in results.frontier_document(engine, "searched")["rows"] if r["method"] == "npo"]  # fmt: skip
    assert row["search_flops"] == pytest.approx(tried["flops"].sum())
    base = runs[(runs["stage"] == "oracle") & (runs["seed"] == 3)]["flops"].iloc[0]
    mine = [r["flops"] for r in chosen if r["seed"] == 3][0]
    assert row["compute"]["values"][0] == pytest.approx(mine / base)  # the trials are not in it


def test_forgetting_on_validation_data_decides_among_the_useful(tmp_path: Path) -> None:
    do(tmp_path, "base", "base")
    rates = [1e-9, 3e-3, 1.0]  # does nothing, forgets, wrecks everything
    for name, rate in zip(("t1", "t2", "t3"), rates, strict=True):
        do(tmp_path, name, "suppress", "npo", parent="base", steps=20, learning_rate=rate)
    space = {"learning_rate": {"choices": rates}}

    def chosen(name: str, floor: float) -> dict[str, Any]:
        search = checked(NPO, {"trials": 3, "space": space, "utility_floor": floor})
        order = [rates.index(trial["learning_rate"]) for trial in trials(NPO, search)]
        inputs = {"trials": [("t1", "t2", "t3")[i] for i in order]}
        outcome, _ = do(
            tmp_path, name, "suppress", "npo", parent="base", inputs=inputs, steps=20, search=search
        )
        assert outcome.chosen is not None and len(outcome.chosen["trials"]) == 3
        return outcome.chosen

    wrecked = chosen("any", -1.0)
    assert wrecked["forget"] == min(row["forget"] for row in wrecked["trials"])
    floor = sorted(row["utility"] for row in wrecked["trials"])[-2]
    useful = chosen("useful", floor)
    assert useful["utility"] >= floor
    assert useful["forget"] == min(r["forget"] for r in useful["trials"] if r["utility"] >= floor)
    none = chosen("none", 1e6)  # nobody reaches it: the most useful one
    assert none["utility"] == max(row["utility"] for row in none["trials"])
    one, other = (read(tmp_path / "checkpoints" / name / "model.safetensors")[0] for name in ("useful", "none"))  # fmt: skip
    same = useful["parameters"] == none["parameters"]
    assert all(torch.equal(one[key], other[key]) for key in one) is same


def test_most_forgetting_above_the_floor_wins_and_of_equals_the_most_useful() -> None:
    scale = Scale(sign=1.0, floor=0.0)
    rows = [
        {"name": "useless", "utility": 0.2, "forget": 0.0},
        {"name": "one", "utility": 0.96, "forget": 0.1},
        {"name": "useful", "utility": 0.99, "forget": 0.1},
        {"name": "weak", "utility": 1.0, "forget": 0.5},
    ]
    assert winner(rows, 0.95, scale)["name"] == "useful"
    assert winner(rows, 0.995, scale)["name"] == "weak"
    assert winner(rows, 1.5, scale)["name"] == "weak"
