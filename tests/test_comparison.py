"""Which configuration is better: verdicts and their words, where a comparison starts, recipes, bands."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from backend.charts.comparison import FINDINGS, banded_chart, difference_chart
from backend.comparison import (
    AFTER,
    CONSTANT,
    EQUAL,
    HIGHER,
    LOWER,
    NOT_DISTINGUISHABLE,
    ONE_SEED,
    UNKNOWN,
    Measure,
    compare,
    means,
    measures,
    values,
)
from backend.comparison_default import completed
from backend.comparison_words import family, p_value, sentence, signed, verdict
from backend.curve_bands import band_words, bands, trained_runs
from backend.recipe_differences import side_by_side
from tests.frames import small

DECLARED = {
    "answer_accuracy": {"direction": "up"},
    "accuracy": {"direction": "up"},
    "loss": {"direction": "down"},
    "mia_loss": {"direction": "up"},
    "sharpness": {"direction": "none"},
}


def row(name: str, stages: list[dict[str, Any]] | None = None, **numbers: Any) -> dict[str, Any]:
    """A frontier's row with values by seed; what is left out is unknown."""
    seeds = len(next(iter(numbers.values()), [0]))
    objectives = ("robust_forget_quality", "claimed_forget_quality", "utility", "compute")
    unknown = {"mean": None, "values": [None] * seeds}
    given = {n: {"mean": np.mean(v) if None not in v else None, "values": v} for n, v in numbers.items()}  # fmt: skip
    return {
        "configuration": name, "method": name.lower(), "stages": stages or [], "seeds": seeds, "raw": [],
        "worst_attack": None, "on_front": None, "pair_metrics": {},
        "metrics": {n: v for n, v in given.items() if n not in objectives},
        **{n: given.get(n, unknown) for n in objectives},
    }  # fmt: skip


UTILITY = Measure("utility", "Utility", "up")
COMPUTE = Measure("compute", "Compute", "down")


def verdicts(one: list, other: list, measure: Measure = UTILITY) -> tuple[str, str]:
    """The verdict's kind and words for two lists of values by seed."""
    rows = [row("A", **{measure.name: one}), row("B", **{measure.name: other})]
    line = compare(rows, [measure], "A").iloc[0].to_dict()
    return line["verdict"], verdict(line)


def test_a_clear_difference_is_named_with_its_direction() -> None:
    assert verdicts([0.1, 0.2, 0.3], [0.8, 0.91, 1.0]) == (HIGHER, "higher: better")
    assert verdicts([0.8, 0.91, 1.0], [0.1, 0.2, 0.3]) == (LOWER, "lower: worse")
    assert verdicts([0.1, 0.2, 0.3], [0.8, 0.91, 1.0], COMPUTE) == (HIGHER, "higher: worse")
    neither = Measure("utility", "Utility")
    assert verdicts([0.1, 0.2, 0.3], [0.8, 0.91, 1.0], neither) == (HIGHER, "higher")


def test_what_cannot_be_told_apart_says_so() -> None:
    assert verdicts([0.1, 0.9, 0.3], [0.2, 0.5, 0.6]) == (NOT_DISTINGUISHABLE,) * 2


def test_one_seed_is_no_test_and_ties_are_no_finding() -> None:
    assert verdicts([0.1], [0.9]) == (ONE_SEED, "1 seed: no test")
    assert verdicts([0.1, None, 0.2], [None, 0.3, None]) == (UNKNOWN, "no seed has both numbers")
    assert verdicts([0.5, 0.6], [0.5, 0.6]) == (EQUAL, "equal in all 2 seeds")
    kind, said = verdicts([0.1, 0.2, 0.7], [0.2, 0.3, 0.8])
    assert kind == CONSTANT
    assert said == "higher by the same amount in all 3 seeds: no spread to test against (better)"


def test_holm_counts_every_test_that_is_shown() -> None:
    generator = np.random.default_rng(1)
    rows = [
        row(name, utility=list(generator.normal(m, 0.1, 5)), compute=list(generator.normal(m, 0.1, 5)))
        for name, m in (("A", 0.0), ("B", 0.15), ("C", 0.4))
    ]  # fmt: skip
    found = compare(rows, [UTILITY, COMPUTE], "A")
    assert len(found) == 4 and "family of 4 tests" in family(found, "t")
    assert (found["p_holm"] >= found["p"]).all()
    alone = compare(rows[:2], [UTILITY], "A")
    assert alone["p_holm"].tolist() == alone["p"].tolist()
    assert "family of 1 test shown" in family(alone, "t")
    other = stats.ttest_rel(rows[1]["utility"]["values"], rows[0]["utility"]["values"])
    assert alone["p"].iloc[0] == pytest.approx(other.pvalue)
    low, high = other.confidence_interval()
    assert (alone["low"].iloc[0], alone["high"].iloc[0]) == pytest.approx((low, high))


def test_a_difference_that_only_counts_alone_is_told() -> None:
    line = {"verdict": NOT_DISTINGUISHABLE, "difference": 0.4, "p": 0.02, "p_holm": 0.08, "seeds": 3, "meaning": None}  # fmt: skip
    assert verdict(line) == "not distinguishable (p 0.020 alone, 0.080 after Holm)"


def test_three_seeds_are_too_few_for_ranks_and_that_is_said() -> None:
    rows = [row("A", utility=[0.1, 0.2, 0.3]), row("B", utility=[0.8, 0.95, 1.0])]
    found = compare(rows, [UTILITY], "A", "wilcoxon")
    assert found["p"].iloc[0] == 0.25 and found["verdict"].iloc[0] == NOT_DISTINGUISHABLE
    assert "cannot give less than p = 0.25" in family(found, "wilcoxon")
    assert family(compare([rows[0]], [UTILITY], "A"), "t").startswith("Nothing could be tested")


def test_what_is_better_follows_the_part_and_the_metric() -> None:
    names = ["forget_answer_accuracy", "forget_loss", "retain_loss", "retain_answer_accuracy", "mia_loss", "forget_sharpness", "placebo_accuracy"]  # fmt: skip
    found = {m.name: m for m in measures([row("A", **{n: [0.5] for n in names})], DECLARED)}
    wants = {name: found[name].wants for name in names}
    assert wants == {
        "forget_answer_accuracy": "down", "forget_loss": "up", "retain_loss": "down",
        "retain_answer_accuracy": "up", "mia_loss": None, "forget_sharpness": None, "placebo_accuracy": None,
    }  # fmt: skip
    assert found["forget_loss"].is_better(HIGHER, 1.0) and found["compute"].wants == "down"
    assert list(found)[:4] == [
        "robust_forget_quality",
        "claimed_forget_quality",
        "utility",
        "compute",
    ]


def test_numbers_of_a_real_frontier_are_all_there() -> None:
    made = small()
    rows = made.build()["rows"]
    known = measures(rows, made.document["metrics"])
    assert {"forget_accuracy", "retain_accuracy", AFTER} <= {m.name for m in known}
    table = means(rows, known).set_index(["metric", "configuration"])
    for one in rows:
        assert table.loc[("utility", one["configuration"]), "mean"] == one["utility"]["mean"]
    attacked = rows[2]
    after = [r["after"] for r in attacked["raw"] if r["attack"] == attacked["worst_attack"]]
    assert values(attacked, AFTER) == after


def test_a_missing_seed_is_not_averaged_away_but_the_others_are_tested() -> None:
    rows = [row("A", utility=[0.1, 0.2, 0.35, None]), row("B", utility=[0.8, 0.9, 1.0, 0.9])]
    assert means(rows, [UTILITY])["mean"].isna().tolist() == [True, False]
    found = compare(rows, [UTILITY], "A").iloc[0]
    assert found["seeds"] == 3 and found["verdict"] == HIGHER


def test_a_sentence_tells_findings_first_and_leaves_nothing_out() -> None:
    rows = [
        row("A", robust_forget_quality=[0.1, 0.2, 0.3, 0.2], utility=[0.9, 0.91, 0.9, 0.92], compute=[0.0] * 4),
        row("B", robust_forget_quality=[0.9, 0.95, 0.99, 0.9], utility=[0.95, 0.85, 0.93, 0.9], compute=[0.5] * 4),
    ]  # fmt: skip
    known = measures(rows, {})
    said = sentence(compare(rows, known, "A"), "B", "A")
    assert said.startswith("B against A: better in robust forget quality (+0.7")
    assert "not distinguishable in utility (95 %:" in said
    assert "compute higher by the same amount in all 4 seeds" in said
    assert said.endswith("no seed has both numbers for claimed forget quality.")


def test_one_seed_is_said_once_in_a_sentence() -> None:
    rows = [row("A", utility=[0.5], compute=[0.1]), row("B", utility=[0.6], compute=[0.4])]
    said = sentence(compare(rows, [UTILITY, COMPUTE], "A"), "B", "A")
    assert said == "B against A: 1 seed, so no test: utility +0.100 and compute +0.300."


def test_small_and_large_numbers_keep_their_digits() -> None:
    assert [signed(v) for v in (0.0, 0.5, -2e-6, 31234.5)] == ["+0.000", "+0.500", "-2.0e-06", "+3.1e+04"]  # fmt: skip
    assert [p_value(p) for p in (None, float("nan"), 1e-9, 0.04)] == ["", "", "< 0.001", "0.040"]


def test_a_comparison_starts_with_the_best_and_its_suppression_alone() -> None:
    rows = small((0, 1)).build()["rows"]
    names, why = completed(rows, [])
    assert names[0] == "MaxEnt" and names[1].startswith("MaxEnt →") and why
    assert "its suppression alone" in why
    best = max((r for r in rows if r["on_front"]), key=lambda r: r["robust_forget_quality"]["mean"])
    assert names[1] == best["configuration"]
    assert completed(rows, ["Base", "Oracle"]) == (["Base", "Oracle"], None)
    alone, why = completed(rows, ["MaxEnt → UNDO (α 0.2)"])
    assert alone == ["MaxEnt", "MaxEnt → UNDO (α 0.2)"] and "One configuration is chosen" in (why or "")  # fmt: skip
    plain, _ = completed(rows, ["GradDiff"])
    assert plain[1] == "GradDiff" and plain[0] == best["configuration"]


def test_a_comparison_starts_somewhere_without_a_front() -> None:
    rows = [row("Base", utility=[1.0]), row("X", utility=[0.5])]
    names, why = completed(rows, [])
    assert names == ["Base", "X"] and "none is on a front yet" in (why or "")
    assert completed(rows[:1], []) == ([], None)


def staged(name: str, *stages: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    found = [{"stage": s, "name": n, "parameters": p} for s, n, p in stages]
    return row(name, found, utility=[0.5])


def test_recipes_show_what_differs_and_fold_what_is_equal() -> None:
    one = staged("A", ("suppress", "npo", {"steps": 60, "beta": 0.1, "search": {"trials": 6}}))
    two = staged(
        "A",
        ("suppress", "npo", {"steps": 60, "beta": 0.2, "search": {"trials": 8}}),
        ("suppress", "npo", {"steps": 5, "points": [], "on": True}),
    )
    two["configuration"] = "B"
    different, equal = side_by_side([one, two])
    assert different.loc["suppress beta"].tolist() == ["0.1", "0.2"]
    assert different.loc["suppress search.trials"].tolist() == ["6", "8"]
    assert different.loc["suppress 2 steps"].tolist() == ["—", "5"]
    assert different.loc["suppress 2 points"].tolist() == ["—", "empty"]
    assert equal.loc["suppress steps"].tolist() == ["60", "60"]
    assert equal.loc["suppress"].tolist() == ["npo", "npo"]
    assert not set(different.index) & set(equal.index)


def curve(name: str, seed: int, steps: list[int], start: float) -> pd.DataFrame:
    about = {"configuration": name, "seed": seed, "step": steps}
    return pd.DataFrame({**about, "score": [start + 0.1 * seed + s for s in steps]})


def test_bands_are_students_from_three_seeds_and_the_range_of_two() -> None:
    frame = pd.concat(
        [curve("three", s, [0, 10, 20], 1.0) for s in range(3)]
        + [curve("two", s, [0, 10], 2.0) for s in range(2)]
        + [curve("one", 0, [0, 10], 3.0)]
    )
    found = bands(frame, "score").set_index(["configuration", "step"])
    low, high = stats.t.interval(0.95, 2, 1.1, stats.sem([1.0, 1.1, 1.2]))
    assert found.loc[("three", 0), ["low", "high"]].tolist() == pytest.approx([low, high])
    assert found.loc[("two", 10), ["low", "high"]].tolist() == pytest.approx([12.0, 12.1])
    assert found.loc["one", "low"].isna().all()
    assert "Student's 95 % interval over 3 seeds" in band_words(found)
    assert "smallest and largest of 2 seeds" in band_words(found) and "1 seed" in band_words(found)


def test_a_mean_curve_ends_where_the_first_seed_ends() -> None:
    frame = pd.concat([curve("A", 0, [0, 10, 20], 0.0), curve("A", 1, [0, 10], 0.0)])
    assert bands(frame, "score")["step"].tolist() == [0, 10]
    assert bands(frame[:0], "score").empty


def test_training_runs_are_those_that_a_model_comes_from() -> None:
    runs = pd.DataFrame(
        {
            "id": [1, 2, 3, 4], "stage": ["base", "suppress", "robustify", "evaluate"],
            "name": ["base", "npo", "undo", "standard"], "seed": [7] * 4, "parent": [None, 1, 2, 3],
        }
    ).astype({"parent": "Int64"})  # fmt: skip
    found = trained_runs(runs, {"A": [3], "B": [2], "C": [None]})
    assert found[["configuration", "stage", "run"]].to_numpy().tolist() == [
        ["A", "robustify", 3],
        ["A", "suppress", 2],
        ["B", "suppress", 2],
    ]


def test_charts_compile_and_draw_their_rows() -> None:
    rows = [row(n, utility=list(np.array([0.1, 0.2, 0.4]) + k)) for k, n in enumerate("AB<C")]
    tested = compare(rows, [UTILITY], "A")
    tested = tested.assign(named=tested["configuration"], finding=list(FINDINGS)[:3], said="said")
    drawn = difference_chart(tested, "Difference").to_dict()
    assert sum(len(data) for data in drawn["datasets"].values()) == 4  # three and the zero line
    banded = bands(curve("A", 0, [0, 10], 0.0), "score")
    assert banded_chart(banded, "Steps", "Score", {"A": "A", "B": "B"}).to_dict()["layer"]
