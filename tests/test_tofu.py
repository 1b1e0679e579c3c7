"""TOFU's own numbers, from its evaluation logs and from formulas worked by hand."""

import json
from typing import Any

import numpy as np
import pytest
from scipy.stats import hmean, ks_2samp

from backend import tofu
from tests.real_data import DATA, needs

LOGS = "tofu/eval_logs"
MODEL = "ft_epoch5_lr1e-05_llama2-7b_{}_wd0.01"
FILES = ("eval_log", "eval_real_author_wo_options", "eval_real_world_wo_options")


def log(model: str, name: str) -> tofu.Log:
    path = DATA / LOGS / MODEL.format(model) / f"{name}.json"
    return tofu.read_log(json.loads(path.read_text(encoding="utf-8")))


@needs(LOGS)
def test_the_forget_quality_of_tofus_own_logs() -> None:
    full, retain = log("full", "eval_log_forget"), log("retain90", "eval_log_forget")
    assert full.questions == retain.questions
    found = tofu.forget_quality(full.log_truth_ratios(), retain.log_truth_ratios())
    assert f"{found.p:.6e}" == "1.834066e-21"
    assert f"{found.distance:.6f}" == "0.396667"
    assert found.count == 300
    assert found.log10_p == pytest.approx(np.log10(1.834066e-21), abs=1e-6)
    assert found.low < found.distance < found.high


@needs(LOGS)
@pytest.mark.parametrize(("model", "utility"), [("full", "0.622677"), ("retain90", "0.613745")])
def test_the_model_utility_of_tofus_own_logs(model: str, utility: str) -> None:
    logs = [log(model, name) for name in FILES]
    assert f"{tofu.model_utility(*logs):.6f}" == utility
    assert len(tofu.utility_terms(*logs)) == 9


@needs(LOGS)
def test_a_log_is_read_in_the_order_of_its_items_numbers() -> None:
    read = log("full", "eval_log_forget")
    assert len(read.questions) == len(read.loss) == len(read.wrong) == 300
    path = DATA / LOGS / MODEL.format("full") / "eval_log_forget.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    assert read.loss[10] == document["avg_gt_loss"]["10"]
    assert read.rouge[299] == document["rougeL_recall"]["299"]


@pytest.mark.parametrize(("n", "floor"), [(40, "1.86e-23"), (200, "1.94e-119"), (400, "1.06e-239")])
def test_the_floor_of_samples_that_do_not_overlap(n: int, floor: str) -> None:
    apart = tofu.forget_quality(np.arange(n) + 2.0 * n, np.arange(n, dtype=float))
    assert f"{apart.p:.2e}" == f"{apart.floor:.2e}" == floor
    assert apart.distance == 1.0
    assert apart.log10_p == pytest.approx(apart.log10_floor)


def test_beyond_the_smallest_number_the_logarithm_goes_on() -> None:
    n = 700
    apart = tofu.forget_quality(np.arange(n) + 2.0 * n, np.arange(n, dtype=float))
    assert apart.p == apart.floor == 0.0
    assert apart.log10_p == pytest.approx(apart.log10_floor) and -420 < apart.log10_p < -419


@pytest.mark.parametrize("shift", [0.6, 0.8])
def test_the_first_term_is_scipys_p_where_that_is_small(shift: float) -> None:
    n = 300
    one, other = np.arange(n, dtype=float), np.arange(n) + shift * n + 0.5
    found = ks_2samp(one, other)
    assert tofu.log10_smallest(n, found.statistic) == pytest.approx(np.log10(found.pvalue))


def test_a_model_against_itself_has_quality_one() -> None:
    ratios = np.random.default_rng(0).normal(size=50)
    found = tofu.forget_quality(ratios, ratios)
    assert (found.p, found.log10_p, found.distance) == (1.0, 0.0, 0.0)
    assert found.low == found.high == 0.0


def test_distance_and_p_are_scipys_and_do_not_change_under_the_inverse_ratio() -> None:
    numbers = np.random.default_rng(1)
    one, other = numbers.normal(size=60), numbers.normal(0.4, 1.2, size=60)
    one[:5] = other[:5]  # ties
    found, expected = tofu.forget_quality(one, other), ks_2samp(one, other)
    assert (found.distance, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    inverse = tofu.forget_quality(-one, -other)
    assert (inverse.distance, inverse.p) == pytest.approx((found.distance, found.p))
    plain = tofu.forget_quality(np.exp(one), np.exp(other))
    assert plain == found


def test_truth_ratios_by_hand() -> None:
    # p(right) = e^-1; wrong answers at e^-2 and e^-4: geometric mean e^-3, so R = e^-2.
    ratios = tofu.log_truth_ratios(np.array([1.0]), [np.array([2.0, 4.0])])
    assert ratios == pytest.approx([-2.0])
    logs = np.array([-2.0, 0.0, 3.0])
    ratio = np.exp(logs)
    assert tofu.indifference(logs) == pytest.approx(np.minimum(ratio, 1 / ratio))
    assert tofu.preference(logs) == pytest.approx(np.maximum(0, 1 - ratio))


def test_ratios_beyond_any_number_stay_finite() -> None:
    logs = np.array([-1e6, 1e6])
    assert tofu.indifference(logs) == pytest.approx([0.0, 0.0])
    assert tofu.preference(logs) == pytest.approx([1.0, 0.0])
    far = tofu.probability(np.array([1e5, 1e5]), [np.array([1e5, 1e5, 1e5]), np.array([1.0])])
    assert far == pytest.approx([0.25, 0.0])


def test_probability_among_wrong_answers_by_hand() -> None:
    loss, wrong = np.log([2.0, 4.0]), [np.log([4.0, 8.0]), np.log([4.0])]
    assert tofu.probability(loss) == pytest.approx([0.5, 0.25])
    assert tofu.probability(loss, wrong) == pytest.approx([0.5 / (0.5 + 0.25 + 0.125), 0.5])


@pytest.mark.parametrize("values", [[0.5], [0.2, 0.4, 0.9], [1.0, 1.0]])
def test_the_harmonic_mean_is_scipys(values: list[float]) -> None:
    assert tofu.harmonic_mean(values) == pytest.approx(hmean(values))


def test_one_zero_makes_the_utility_zero() -> None:
    assert tofu.harmonic_mean([0.9, 0.0, 0.9]) == 0.0


def test_a_log_without_paraphrases_takes_the_true_answer() -> None:
    document: dict[str, Any] = {
        "avg_gt_loss": {"0": 1.0, "10": 3.0, "2": 2.0},
        "average_perturb_loss": {"0": [2.0], "2": [2.0, 4.0], "10": [5.0]},
        "generated_text": {"0": ["a", "x", "y"], "2": ["b", "x", "y"], "10": ["c", "x", "y"]},
        "rougeL_recall": {"0": 1.0, "2": 0.5, "10": 0.0},
    }
    read = tofu.read_log(document)
    assert read.questions == ("a", "b", "c")
    assert list(read.loss) == list(read.paraphrased) == [1.0, 2.0, 3.0]
    assert list(read.log_truth_ratios()) == [-1.0, -1.0, -2.0]
