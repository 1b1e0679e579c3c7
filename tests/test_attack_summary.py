"""What each attack does to a configuration, against numbers worked out by hand."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from backend import attack_summary
from backend.stage import UserError, inapplicable
from tests.frames import Frames, accuracy, empty, relearning, spread

QUANTIZE = {"name": "quantize", "counts": "weights", "has_steps": False, "steps": 1, "grid": [{"bits": 4}]}  # fmt: skip
LENS = {"name": "logit_lens", "counts": "probe", "has_steps": False, "steps": 1, "grid": [{}]}
TOLD = "there is nothing to take off"


def study(attacks: list[dict[str, Any]], seeds: int = 1, **options: Any) -> Frames:
    """Base, oracle and three suppressions; nothing is attacked yet."""
    made = empty(range(seeds), attacks, **options)
    base = {s: made.run("base", "base", s, flops=4e12) for s in range(seeds)}
    made.configuration("Base", (), base)
    made.configuration("Oracle", (), {s: made.run("oracle", "oracle", s) for s in range(seeds)})
    for name in ("a", "b", "c"):
        models = {s: made.run("suppress", name, s, base[s], flops=5e11) for s in range(seeds)}
        made.configuration(name.upper(), [("suppress", name, {})], models)
    for configuration in made.document["configurations"]:
        before = {"Base": 1.0, "Oracle": 0.0}.get(configuration["label"], 0.1)
        for run in configuration["runs"].values():
            made.evaluate(int(run[3:]), before, 1.0)
    return made


def attack_all(made: Frames, name: str, cell: dict[str, Any], curves: dict[str, Any]) -> None:
    """One cell on every model; `curves` by label, of one seed or of each."""
    for configuration in made.document["configurations"]:
        for seed, run in configuration["runs"].items():
            curve = curves[configuration["label"]]
            mine = curve[int(seed)] if isinstance(curve, list) else curve
            if isinstance(mine, str):
                note = inapplicable(name, mine)
                made.attack(int(run[3:]), cell, {}, name, note=note)
            else:
                both = {step: (value, value) for step, value in mine.items()}
                made.attack(int(run[3:]), cell, both, name)


def flat(value: float) -> dict[int, float]:
    return dict.fromkeys((0, 50, 100), value)


def attacked_rows(made: Frames, **options: Any) -> dict[str, dict[str, Any]]:
    return {row["configuration"]: row for row in made.build(**options)["rows"]}


def relearned(**options: Any) -> Frames:
    attack = relearning([1e-3], 100)
    made = study([attack], **options)
    curves = {"Base": flat(1.0), "Oracle": flat(0.0), "A": {0: 0.0, 50: 0.5, 100: 1.0}}
    curves |= {"B": {0: 0.0, 50: 0.0, 100: 0.4}, "C": flat(0.2)}
    attack_all(made, "relearn", attack["grid"][0], curves)
    return made


def test_area_and_half_recovery_are_those_of_the_curve() -> None:
    rows = attacked_rows(relearned())
    first, second = (rows[name]["attacks"]["relearn"] for name in ("A", "B"))
    assert first["mean"] == 1.0 and second["mean"] == pytest.approx(0.4)
    assert first["area"] == pytest.approx(0.5) and second["area"] == pytest.approx(0.1)
    assert (first["half_steps"], second["half_steps"]) == (50, None)
    assert rows["C"]["attacks"]["relearn"]["area"] == pytest.approx(0.2)


def test_attacker_flops_are_those_noted_and_limit_what_counts() -> None:
    made = relearned()
    cells = [row["id"] for row in made.run_rows if row["stage"] == "attack"]
    for run in cells:
        for step in (0, 50, 100):
            made.measure(run, "attacker_flops", "attacker", 1e9 * step, step)
    row = attacked_rows(made)["A"]["attacks"]["relearn"]
    assert row["half_flops"] == 50e9 and row["flops"] == 100e9
    cheap = attacked_rows(made, attacker_flops=60e9)["A"]
    assert cheap["attacks"]["relearn"]["mean"] == pytest.approx(0.5)
    assert cheap["robust_forget_quality"]["mean"] == pytest.approx(0.5)
    with pytest.raises(UserError, match="must be a finite number above 0"):
        made.build(attacker_flops=0.0)


def test_the_fewest_examples_that_bring_half_back() -> None:
    grid = [{"examples": n, "steps": 100} for n in (4, 16, 0)]
    made = study([{**relearning(), "grid": grid, "steps": 100}])
    for cell, reached in zip(grid, (0.2, 0.6, 0.9), strict=True):
        curves = {"Base": flat(1.0), "Oracle": flat(0.0), "A": {0: 0.0, 50: 0.0, 100: reached}}
        attack_all(made, "relearn", cell, {**curves, "B": flat(0.1), "C": flat(0.1)})
    rows = attacked_rows(made)
    assert rows["A"]["attacks"]["relearn"]["half_examples"] == 16
    assert rows["B"]["attacks"]["relearn"]["half_examples"] is None


def test_an_attack_that_does_not_apply_is_listed_with_its_reason_and_left_out() -> None:
    made = relearned()
    made.document["attacks"].append(QUANTIZE)
    attack_all(made, "quantize", QUANTIZE["grid"][0], dict.fromkeys(("Base", "Oracle", "A", "B", "C"), TOLD))  # fmt: skip
    row = attacked_rows(made)["A"]
    assert row["attacks"]["quantize"]["mean"] is None
    assert row["attacks"]["quantize"]["reason"] == f"quantize, seed 0: n/a, because {TOLD}"
    assert row["worst_attack"] == "relearn" and row["robust_forget_quality"]["mean"] == 0.0
    assert row["cells_done"] == row["cells_total"] == 2
    assert any(TOLD in reason for reason in row["reasons"])
    oracle = attacked_rows(made)["Oracle"]["attacks"][
        "quantize"
    ]  # at one seed it has no band either
    assert TOLD in oracle["reason"]


def test_a_probe_is_reported_under_its_own_score_and_never_counts() -> None:
    made = relearned()
    made.document["attacks"].append({**LENS, "metric": "lens_accuracy"})
    made.document["metrics"]["lens_accuracy"] = accuracy()
    for configuration, value in zip(
        made.document["configurations"], (0.8, 0.0, 0.6, 0.4, 0.0), strict=True
    ):
        for run in configuration["runs"].values():
            model = int(run[3:])
            made.attack(model, {}, {1: (value, value)}, "logit_lens", metric="lens_accuracy")
    row = attacked_rows(made)["A"]
    assert row["attacks"]["logit_lens"]["mean"] == pytest.approx(0.75)  # of the base under the lens
    assert row["worst_attack"] == "relearn"
    assert attacked_rows(made)["C"]["robust_forget_quality"]["mean"] == pytest.approx(0.8)


def test_kendalls_tau_compares_the_rankings_of_attacks_and_of_seeds() -> None:
    attack = relearning([1e-3], 100)
    made = study([attack, QUANTIZE], seeds=2)
    after = {"A": [0.9, 0.9], "B": [0.5, 0.2], "C": [0.1, 0.4]}  # seeds agree on 1 of 3 pairs more
    curves = {name: [{0: 0.0, 50: v, 100: v} for v in values] for name, values in after.items()}
    anchors = {"Base": flat(1.0), "Oracle": flat(0.0)}
    attack_all(made, "relearn", attack["grid"][0], {**anchors, **curves})
    reverse = {"A": {1: 0.1}, "B": {1: 0.2}, "C": {1: 0.3}, "Base": {1: 1.0}, "Oracle": {1: 0.0}}
    attack_all(made, "quantize", QUANTIZE["grid"][0], reverse)
    found = made.build()["attack_agreement"]
    assert found["attacks"] == [
        {"one": "relearn", "other": "quantize", "tau": pytest.approx(-1.0), "methods": 3}
    ]
    over_seeds = {one["attack"]: one["tau"] for one in found["seeds"]}
    assert over_seeds == {"relearn": pytest.approx(1 / 3), "quantize": pytest.approx(1.0)}


def test_the_worst_subject_is_the_one_of_which_most_comes_back() -> None:
    made = relearned()
    names = ["table of 2"] * 50 + ["table of 7"] * 150
    made.document["subjects"] = {"forget_score": names}
    model = int(made.document["configurations"][2]["runs"]["0"][3:])
    run = next(r["id"] for r in made.run_rows if r["parent"] == model and r["stage"] == "attack")
    made.items[run, 100] = np.concatenate([np.ones(50), spread(0.5, 150)]).astype(np.float32)
    found = attacked_rows(made)["A"]["attacks"]["relearn"]["worst_subject"]
    assert found == {"name": "table of 2", "value": 1.0, "items": 50}


def test_a_cell_of_before_a_parameter_was_added_is_the_cell_of_today() -> None:
    old = {"learning_rate": 1e-3, "steps": 100}
    today = {**old, "examples": 0, "choose": "random", "data": "forget", "optimizer": "adamw"}
    for planned, stored in ((today, old), (old, today)):
        made = study([{**relearning([1e-3], 100), "grid": [planned]}])
        curves = {"Base": flat(1.0), "Oracle": flat(0.0), "A": flat(0.5)}
        attack_all(made, "relearn", stored, {**curves, "B": flat(0.1), "C": flat(0.1)})
        row = attacked_rows(made)["A"]
        assert row["cells_done"] == 1 and row["attacks"]["relearn"]["mean"] == pytest.approx(0.5)
    other = {**today, "examples": 4}
    made = study([{**relearning([1e-3], 100), "grid": [other]}])
    attack_all(made, "relearn", old, {**curves, "B": flat(0.1), "C": flat(0.1)})
    assert attacked_rows(made)["A"]["cells_done"] == 0


def test_all_pairs_of_seeds_at_once_are_scipys_taus_of_each() -> None:
    chance = np.random.default_rng(2)
    seeds = chance.integers(0, 5, (12, 7)).astype(float)
    seeds[chance.random(seeds.shape) < 0.25] = np.nan
    seeds[0], seeds[1, 2:] = 3.0, np.nan  # ranks nothing; ranks too few
    each = []
    for i, one in enumerate(seeds):
        for other in seeds[i + 1 :]:
            both = np.isfinite(one) & np.isfinite(other)
            tau = stats.kendalltau(one[both], other[both]).statistic if both.sum() >= 3 else np.nan
            each += [tau] if np.isfinite(tau) else []
    found = attack_summary._taus(seeds)
    assert 20 < len(each) < 66
    np.testing.assert_allclose(found, each, atol=1e-12)
