"""The frontier document: the contract's shape, the identities, and brute force where there is one."""

import itertools
import json
from typing import Any

import numpy as np
import pytest

from backend.front import REFERENCE_POINT, hypervolume
from backend.frontier import frame
from backend.stage import UserError
from backend.tables import matching_frame
from tests.frames import RATES, accuracy, empty, pair, relearning, rising, rows_of, small

ROW = {
    "configuration", "method", "stages", "seeds", "utility", "claimed_forget_quality",
    "robust_forget_quality", "compute", "flops", "search_flops", "seconds", "worst_attack",
    "robust_so_far", "cells_done", "cells_total", "metrics", "origin", "on_front",
}  # fmt: skip
DOCUMENT = {
    "study", "revision", "setting", "budget", "attacks", "attack_grid_size", "anchor", "reference",
    "rows",
}  # fmt: skip
REFERENCE = {
    "objectives", "hypervolume_point", "hypervolume", "metric_forget", "metric_retain",
    "oracle_after_attack",
}  # fmt: skip
OBJECTIVES = ("utility", "claimed_forget_quality", "robust_forget_quality", "compute")


def test_every_key_of_the_contract_is_there_and_no_number_is_nan() -> None:
    document = small(missing=["GradDiff"]).build()
    json.dumps(document, allow_nan=False)
    assert document.keys() >= DOCUMENT
    assert document["reference"].keys() >= REFERENCE
    for row in document["rows"]:
        assert row.keys() >= ROW
        for name in OBJECTIVES:
            assert row[name].keys() == {"mean", "low", "high", "values"}
            assert len(row[name]["values"]) == row["seeds"] == 3
    assert document["reference"]["metric_forget"] == "forget_accuracy"
    assert (
        document["attacks"][0] | {"name": "relearn", "grid_size": 3, "steps": 150}
        == (document["attacks"][0])
    )


def test_the_numbers_are_those_worked_out_by_hand() -> None:
    row = rows_of(pair().build())["MaxEnt"]
    assert row["utility"]["values"] == [0.8]
    assert row["claimed_forget_quality"]["values"] == [pytest.approx(0.9)]
    assert row["robust_forget_quality"]["values"] == [pytest.approx(1 - 0.4 / 0.9)]
    assert row["compute"]["values"] == [0.25]
    assert row["flops"] == 5e11
    assert row["search_flops"] == 0
    assert row["metrics"]["forget_accuracy"]["values"] == [0.1]
    assert row["metrics"]["retain_accuracy"]["values"] == [0.8]
    assert row["worst_attack"] == "relearn"
    assert row["raw"][0]["formula"] == "1 − (0.500 − 0.100) / (1.000 − 0.100) = 0.556"
    assert row["weak_evidence"] == ["1 seed", "attack grid of 1"]


def test_base_and_oracle_are_the_ends_of_the_scales() -> None:
    rows = rows_of(pair(seeds=2).build())
    base, oracle = rows["Base"], rows["Oracle"]
    assert base["compute"]["values"] == [0, 0]
    assert oracle["compute"]["values"] == [1, 1]
    assert base["utility"]["mean"] == 1
    assert base["claimed_forget_quality"]["mean"] == base["robust_forget_quality"]["mean"] == 0
    assert oracle["claimed_forget_quality"]["mean"] == 1
    assert base["on_front"] is None
    assert oracle["on_front"] is None


def test_the_papers_pair_is_zero_for_unlearning_alone_and_one_for_filtering() -> None:
    rows = rows_of(small().build())
    robust = {name: row["paper"]["relative_robustness"]["mean"] for name, row in rows.items()}
    assert robust["MaxEnt"] == 0
    assert robust["Oracle"] == 1
    assert 0.8 < robust["MaxEnt → UNDO (α 0.6)"] < 1
    assert rows["Oracle"]["paper"]["relative_compute_steps"]["mean"] == 1
    assert rows["MaxEnt"]["paper"]["relative_compute_steps"]["mean"] is None


def test_the_oracles_band_scores_each_oracle_against_the_next_seeds() -> None:
    made = pair(seeds=3)
    for run in made.run_rows:  # the oracles of seeds 0, 1, 2 relearn 0.1, 0.2, 0.3
        if run["stage"] == "attack" and made.run_rows[run["parent"] - 1]["stage"] == "oracle":
            for row in made.measured:
                if row["run"] == run["id"] and row["step"] == 50:
                    row["value"] = 0.1 * (run["seed"] + 1)
    band = rows_of(made.build())["Oracle"]["robust_forget_quality"]
    expected = [1 - (0.1 - 0.2) / 0.8, 1 - (0.2 - 0.3) / 0.7, 1 - (0.3 - 0.1) / 0.9]
    assert band["values"] == pytest.approx(expected)
    alone = rows_of(pair().build())["Oracle"]
    assert alone["robust_forget_quality"]["mean"] is None
    assert "second seed" in alone["reasons"][0]


def test_a_twin_oracle_gives_the_band_at_one_seed() -> None:
    made = pair(oracles=2)
    twin = made.run("oracle", "oracle", 10_000, flops=2e12)
    made.evaluate(twin, 0.0, 0.9)
    made.attack(twin, made.document["attacks"][0]["grid"][0], {0: (0.0, 0.0), 50: (0.2, 0.2)})
    made.document["configurations"][1]["twins"] = {"0": f"run{twin:05d}"}
    band = rows_of(made.build())["Oracle"]["robust_forget_quality"]
    assert band["values"] == [pytest.approx(1 - (0.1 - 0.2) / 0.8)]


def test_a_loss_as_forget_and_retain_metric_turns_everything_round() -> None:
    made = empty((0,), [relearning([1e-3])], direction="down")
    ids = [made.run("base", "base", flops=4e12), made.run("oracle", "oracle", flops=2e12)]
    ids.append(made.run("suppress", "npo", 0, ids[0], flops=1e12))
    stages: tuple[Any, ...] = ((), (), (("suppress", "npo", {}),))
    for label, model, chain in zip(("Base", "Oracle", "NPO"), ids, stages, strict=True):
        made.configuration(label, chain, {0: model})
    cell = made.document["attacks"][0]["grid"][0]
    for model, before, after, retain in zip(ids, (1, 3.5, 9), (1, 3, 2), (1, 1, 1.6), strict=True):
        made.evaluate(model, before, retain)
        made.attack(model, cell, {0: (before, before), 50: (after, after)})
    row = rows_of(made.build())["NPO"]
    assert row["utility"]["values"] == [pytest.approx((4 - 1.6) / (4 - 1))]
    assert row["claimed_forget_quality"]["values"] == [pytest.approx(1 - (3.5 - 4) / (3.5 - 1))]
    assert row["robust_forget_quality"]["values"] == [pytest.approx(1 - (3 - 2) / (3 - 1))]


@pytest.mark.parametrize(("budget", "expected"), [(0, 0), (49, 0), (50, 50), (51, 50), (None, 150)])
def test_the_budget_takes_the_last_evaluated_step(budget: int | None, expected: int) -> None:
    made = pair()
    document = made.build(budget=budget)
    assert document["budget"] == expected
    row = rows_of(document)["MaxEnt"]
    before = 1 - (0.1 - 0.0) / 1.0
    after = 1 - 0.4 / 0.9
    assert row["robust_forget_quality"]["mean"] == pytest.approx(before if expected == 0 else after)


@pytest.mark.parametrize("budget", [-1, 151])
def test_a_budget_beyond_the_attack_is_refused(budget: int) -> None:
    with pytest.raises(UserError, match="between 0 and 150"):
        small((0,)).build(budget=budget)


def test_a_row_is_not_defined_where_base_and_oracle_meet_and_says_so() -> None:
    row = rows_of(pair(oracle=0.97).build())["MaxEnt"]
    assert row["robust_forget_quality"]["mean"] is None
    assert row["robust_so_far"] is None
    assert row["on_front"] is None
    assert "relearn, seed 0: n/a" in row["reasons"][0]
    assert row["utility"]["mean"] == 0.8


def test_a_difference_within_the_noise_of_the_items_is_not_defined() -> None:
    made = pair(oracle=0.8)
    for key, values in made.items.items():  # only four items, paired
        made.items[key] = values[:: len(values) // 4][:4]
    oracle = next(r["id"] for r in made.run_rows if r["stage"] == "attack" and r["parent"] == 2)
    made.items[oracle, 50] = np.array([1, 0, 1, 1], dtype=np.float32)
    row = rows_of(made.build())["MaxEnt"]
    assert row["robust_forget_quality"]["mean"] is None
    assert "standard error over the items" in row["reasons"][0]


def test_missing_cells_leave_the_robust_quality_open_and_show_what_there_is() -> None:
    rows = rows_of(small(missing=["GradDiff"]).build())
    row, whole = rows["GradDiff"], rows_of(small().build())["GradDiff"]
    assert row["robust_forget_quality"]["mean"] is None
    assert row["worst_attack"] is None
    assert (row["cells_done"], row["cells_total"]) == (6, 9)
    # Without the strongest rate it looks better than it is, and the others are not touched by that.
    assert row["robust_so_far"] > whole["robust_so_far"]
    assert whole["robust_so_far"] == whole["robust_forget_quality"]["mean"]
    assert "3 attack cells missing" in row["weak_evidence"]
    assert rows["MaxEnt"]["robust_forget_quality"]["mean"] is not None


def test_missing_cells_of_the_oracle_leave_every_row_open_over_the_shared_cells() -> None:
    made = small((0,))
    cells = [r for r in made.run_rows if r["stage"] == "attack" and r["parent"] == 2]
    cells[-1]["state"] = "failed"
    row = rows_of(made.build())["MaxEnt"]
    assert row["robust_forget_quality"]["mean"] is None
    assert row["raw"][0]["cells"] == 2
    assert (row["cells_done"], row["cells_total"]) == (3, 3)
    assert any("its oracle" in reason for reason in row["reasons"])


def test_compute_charges_every_ancestor_once_but_not_the_base_and_not_the_search() -> None:
    made = pair()
    trials = [made.run("suppress", "npo", 0, 1, {"trial": i}, flops=1e11) for i in range(3)]
    found = made.run("suppress", "npo", 0, 1, {}, {"trials": trials, "base": [1]}, flops=2e11)
    student = made.run(
        "robustify", "distill", 0, found, {}, {"teachers": [2, found], "base": [1]}, flops=1e12
    )
    chain = [("suppress", "npo", {}), ("robustify", "distill", {"teacher": "oracle"})]
    made.configuration("Searched", chain[:1], {0: found})
    made.configuration("Student", chain, {0: student})
    rows = rows_of(made.build())
    assert rows["Searched"]["compute"]["values"] == [0.1]
    assert rows["Searched"]["search_flops"] == pytest.approx(3e11)
    assert rows["Student"]["compute"]["values"] == [pytest.approx((1e12 + 2e11 + 2e12) / 2e12)]
    assert rows["Student"]["search_flops"] == pytest.approx(3e11)


def test_the_lowest_utility_is_that_of_all_suppressions_on_the_way() -> None:
    made = pair()
    first = made.run("suppress", "npo", 0, 1, {"request": [1, 2]})
    second = made.run("suppress", "npo", 0, first, {"request": [2, 2]})
    student = made.run("robustify", "undo", 0, second)
    base = made.build()  # the base's own evaluation is the scale
    assert rows_of(base)["MaxEnt"]["lowest_utility"] is None
    for run, seen in ((first, (0.9, 0.4)), (second, (0.8, 0.7)), (student, (0.0, 0.9))):
        for step, value in enumerate(seen, 1):
            made.measure(run, "accuracy", "retain_validation", value, step)
    chain = [("suppress", "npo", {}), ("robustify", "undo", {})]
    made.configuration("NPO", chain[:1], {0: second})
    made.configuration("NPO → UNDO", chain, {0: student})
    rows = rows_of(made.build())
    assert rows["NPO"]["lowest_utility"] == rows["NPO → UNDO"]["lowest_utility"]
    assert rows["NPO"]["lowest_utility"] == pytest.approx(0.4, abs=0.05)
    assert rows["NPO"]["label_fraction"] == 1.0


def test_weight_attacks_on_a_wrapper_are_its_parents_own() -> None:
    made = pair()
    over_base = made.run("wrap", "refuse", 0, 1)
    over_model = made.run("wrap", "refuse", 0, 3)
    made.configuration("Wrapped base", [("wrap", "refuse", {})], {0: over_base})
    made.configuration(
        "Wrapped MaxEnt", [("suppress", "max_ent", {}), ("wrap", "refuse", {})], {0: over_model}
    )
    for model in (over_base, over_model):
        made.evaluate(model, 0.0, 1.0)
    rows = rows_of(made.build())
    assert rows["Wrapped base"]["claimed_forget_quality"]["mean"] == 1
    assert rows["Wrapped base"]["robust_forget_quality"]["mean"] == 0
    assert rows["Wrapped base"]["badges"] == ["black-box only"]
    same = rows["MaxEnt"]["robust_forget_quality"]["mean"]
    assert rows["Wrapped MaxEnt"]["robust_forget_quality"]["mean"] == same
    assert rows["Wrapped MaxEnt"]["cells_done"] == rows["Wrapped MaxEnt"]["cells_total"] == 1


def test_without_an_oracle_the_floor_takes_its_place() -> None:
    made = pair()
    made.document["setting"]["anchor"] = "floor"
    made.document["configurations"].pop(1)
    document = made.build()
    row = rows_of(document)["MaxEnt"]
    assert document["anchor"] == "floor"
    assert row["robust_forget_quality"]["values"] == [pytest.approx(0.5)]
    assert row["compute"]["mean"] is None
    assert row["flops"] == 5e11
    assert row["on_front"] is None


def test_code_that_was_fixed_since_is_marked() -> None:
    made = pair()
    assert "stale code" not in rows_of(made.build())["MaxEnt"]["weak_evidence"]
    rows = rows_of(made.build(stale=[3]))
    assert "stale code" in rows["MaxEnt"]["weak_evidence"]
    assert "stale code" not in rows["Base"]["weak_evidence"]


def test_a_study_that_was_not_run_gives_no_rows() -> None:
    made = small((0,))
    for row in made.run_rows:
        row["state"] = "waiting"
    document = made.build()
    assert document["rows"] == []
    assert document["reference"]["hypervolume"] is None
    assert document["budget"] == 150
    assert frame(document).empty
    assert "robust_forget_quality" in frame(document)
    assert empty().build()["rows"] == []


def test_imported_models_have_metrics_and_no_objectives() -> None:
    made = empty(attacks=[])
    model = made.run("suppress", "imported", origin="imported")
    made.configuration("theirs", [("suppress", "imported", {})], {0: model})
    made.measure(model, "tofu_model_utility", "", 0.6)
    made.measure(model, "rouge", "forget_score", 0.4)
    row = made.build()["rows"][0]
    assert row["origin"] == "imported"
    assert row["metrics"]["tofu_model_utility"]["mean"] == 0.6
    assert row["metrics"]["forget_rouge"]["mean"] == 0.4
    assert [row[name]["mean"] for name in OBJECTIVES] == [None] * 4
    assert row["on_front"] is None


def points(rows: list[dict[str, Any]]) -> dict[str, tuple[float, float, float]]:
    names = ("robust_forget_quality", "utility", "compute")
    return {
        row["configuration"]: tuple(row[name]["mean"] for name in names)
        for row in rows
        if row["method"] not in ("base", "oracle")
    }  # type: ignore[misc]


def test_the_front_is_what_nobody_beats() -> None:
    rows = small().build()["rows"]
    at = points(rows)

    def beaten(name: str) -> bool:
        r, u, c = at[name]
        others = (at[other] for other in at if at[other] != at[name])
        return any(x >= r and y >= u and z <= c for x, y, z in others)

    for row in rows:
        if row["configuration"] in at:
            assert row["on_front"] is not beaten(row["configuration"])


def test_the_hypervolume_is_the_dominated_share_of_a_grid_of_points() -> None:
    generator = np.random.default_rng(3)
    made = generator.random((6, 3)) * [1, 1, 1.3]  # some cost more than the reference point
    rows = [
        {
            "method": "x",
            "robust_forget_quality": {"mean": a},
            "utility": {"mean": b},
            "compute": {"mean": c},
        }
        for a, b, c in made
    ]
    # Between neighbouring coordinates of the points everything is dominated or nothing is.
    axes = [sorted({0.0, 1.0, *(min(v, 1.0) for v in made[:, i])}) for i in range(3)]
    volume = 0.0
    for cell in itertools.product(*(zip(axis, axis[1:], strict=False) for axis in axes)):
        (a, b, c), size = (np.mean(pair) for pair in cell), np.prod([h - low for low, h in cell])
        volume += float(size) * any(a < x and b < y and c > z for x, y, z in made)
    assert REFERENCE_POINT == {"robust_forget_quality": 0.0, "utility": 0.0, "compute": 1.0}
    assert hypervolume(rows) == pytest.approx(volume)


def test_the_envelope_stands_beside_every_cell() -> None:
    found = small((0,), missing=["GradDiff"]).curves()
    mine = found[found["configuration"] == "MaxEnt"]
    assert list(mine["cell"].unique()) == ["rate 0.0003", "rate 0.001", "rate 0.003", "worst case"]
    worst = mine[mine["cell"] == "worst case"]
    cells = mine[mine["cell"] != "worst case"]
    for row in worst.itertuples():
        seen = cells[cells["step"] <= row.step]
        assert row.validation == seen["validation"].max()
    assert set(found[found["configuration"] == "GradDiff"]["cell"]) == {
        "rate 0.0003", "rate 0.001", "worst case so far",
    }  # fmt: skip


def test_students_of_the_oracle_are_listed_with_their_divergence() -> None:
    made = pair()
    student = made.run("robustify", "distill", 0, 1, {"teacher": "oracle"}, flops=1e12)
    parameters = {"teacher": "oracle", "student": "base"}
    made.configuration("Student", [("robustify", "distill", parameters)], {0: student})
    made.measure(student, "kl", "agreement", 0.007, 600)
    cell = made.document["attacks"][0]["grid"][0]
    made.attack(student, cell, rising(0.0, 0.3, RATES[2]))
    found = made.build()["oracle_matching"]
    assert [(one["kl"], one["student"], one["steps"]) for one in found] == [(0.007, "base", 1000)]
    assert found[0]["after"] == pytest.approx(0.293, abs=0.01)


def test_a_table_of_students_follows_the_documents_rows() -> None:
    told = [
        {"configuration": name, "student": "base", "steps": 200, "seed": 0, "kl": 0.1, "before": 0.0, "after": None}
        for name in ("MaxEnt", "not drawn")
    ]  # fmt: skip
    document = {**pair().build(), "oracle_matching": told}
    found = matching_frame(document)
    assert list(found["configuration"]) == ["MaxEnt"] and list(found.columns) == list(told[0])
    empty = matching_frame({**document, "oracle_matching": []})
    assert empty.empty and list(empty.columns) == list(told[0])


def test_a_metric_of_a_pair_of_models_is_no_row_metric() -> None:
    made = pair()
    made.document["metrics"]["cka"] = accuracy() | {"level": "pair"}
    assert "forget_cka" not in rows_of(made.build())["MaxEnt"]["metrics"]
