"""The multi-power law: its equations, its fit, its errors, what it foretells and proposes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backend import loss_forecast, schedule_proposal
from backend.loss_fitting import _Problem, fit
from backend.loss_law import Course, Curve, Law, error, losses, smoothed

PEAK = 3e-3
LAW = Law(2.1, 0.9, 0.5, 0.35, 0.7, 0.55, 0.6, PEAK)


def rates(steps: int, **course: Any) -> np.ndarray:
    return loss_forecast.rates(steps, PEAK, **{"warmup": 20, **course})


def curve(steps: int, law: Law = LAW, noise: float = 0.0, **course: Any) -> Curve:
    told = rates(steps, **course)
    at = np.arange(steps // 100, steps + 1, steps // 100)
    shaken = np.exp(noise * np.random.default_rng(steps).standard_normal(len(at)))
    return Curve(at, law.predict(told, at, 20) * shaken, told, 20)


def by_hand(law: Law, told: np.ndarray, step: int, warmup: int) -> float:
    """The equations as they stand, sum by sum."""
    eta = told / law.unit
    sums = eta[:step].sum()
    lost = 0.0
    for k in range(warmup + 1, step + 1):
        before = eta[k - 2] if k > warmup + 1 else eta[warmup]
        x = eta[k - 1] ** -law.gamma * eta[k - 1 : step].sum()
        lost += (before - eta[k - 1]) * (1 - (law.speed * x + 1) ** -law.beta)
    return float(law.floor + law.scale * sums**-law.alpha - law.drop * lost)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "wsd", "step"])
def test_predictions_are_the_equations(schedule: str) -> None:
    told = rates(120, schedule=schedule)
    found = LAW.predict(told, np.array([21, 60, 97, 120]), 20)
    assert found == pytest.approx([by_hand(LAW, told, t, 20) for t in (21, 60, 97, 120)], rel=1e-12)


def test_a_rate_that_rises_again_costs() -> None:
    back = rates(200, schedule="points", points=[[0, 1], [0.5, 0.2], [0.6, 1], [1, 1]])
    end = LAW.predict(back, np.array([200]), 20)[0]
    assert end == pytest.approx(by_hand(LAW, back, 200, 20), rel=1e-12)
    assert end > LAW.predict(rates(200, schedule="wsd"), np.array([200]), 20)[0]


def test_a_long_training_is_read_in_blocks_and_thinned() -> None:
    told = rates(30_000, schedule="cosine")
    at = np.array([3_000, 15_000, 30_000])
    exact = losses(LAW.theta, Course(told, 20, PEAK, most=10**9), at)[0]
    assert LAW.predict(told, at, 20) == pytest.approx(exact, rel=1e-4)
    assert LAW.predict(told, warmup=20)[at - 21] == pytest.approx(exact, rel=1e-4)


def test_derivatives_are_those_of_the_residuals() -> None:
    problem = _Problem([curve(300, schedule="cosine"), curve(400, schedule="step")], PEAK, 0.01)
    at = LAW.theta + np.linspace(-0.2, 0.2, 7)
    slopes = problem.residuals(at)[1]
    for one, step in enumerate(1e-6 * np.eye(7)):
        up, down = problem.residuals(at + step)[0], problem.residuals(at - step)[0]
        assert slopes[:, one] == pytest.approx((up - down) / 2e-6, abs=1e-7)


def test_a_law_is_found_again_from_two_curves_and_foretells_two_others() -> None:
    told = [curve(600, schedule="cosine"), curve(900, schedule="step")]
    found = fit(told, noise=0.0)
    assert np.exp(found.theta) == pytest.approx(np.exp(LAW.theta), rel=0.01)
    for other in (curve(700, schedule="wsd"), curve(1500, schedule="linear", final_share=0.02)):
        off = error(found, other)
        assert abs(off.end) < 2e-4 and off.mean < 2e-4
    assert fit(told, noise=0.0) == found  # no chance in it


def test_noise_and_outliers_are_borne() -> None:
    told = [curve(600, noise=0.03, schedule="cosine"), curve(900, noise=0.03, schedule="step")]
    spoilt = told[0].losses.copy()
    spoilt[[30, 71]] *= 5.0
    found = fit([Curve(told[0].steps, spoilt, told[0].rates, 20), told[1]])
    for other in (curve(700, schedule="wsd"), curve(1200, schedule="linear")):
        off = error(found, other)
        assert abs(off.end) < 0.02 and off.mean < 0.02


def test_what_curves_leave_open_stays_typical() -> None:
    found = fit([curve(600, schedule="constant")])
    fallen = found.predict(rates(600, schedule="wsd"), np.array([600]), 20)[0]
    level = found.predict(rates(600), np.array([600]), 20)[0]
    assert 0.7 * level < fallen < level


def test_errors_are_shares_of_the_loss_and_know_their_sign() -> None:
    one = curve(600, schedule="cosine")
    above = replace(LAW, floor=1.1 * LAW.floor, scale=1.1 * LAW.scale, drop=1.1 * LAW.drop)
    off = error(above, one)
    assert (off.end, off.mean) == (pytest.approx(0.1), pytest.approx(0.1))
    assert error(LAW, one).mean == pytest.approx(0.0, abs=1e-12)


def test_warm_up_and_first_fall_are_ignored() -> None:
    one = curve(600)
    wild = np.where(one.steps <= 20 + 0.05 * 600, 90.0, one.losses)
    assert error(LAW, Curve(one.steps, wild, one.rates, 20)).mean == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(ValueError, match="no point after its warm-up"):
        error(LAW, Curve(one.steps[:4], one.losses[:4], one.rates, 20))
    with pytest.raises(ValueError, match="no curve has enough points"):
        fit([Curve(one.steps[:4], one.losses[:4], one.rates, 20)])


def test_blocks_are_means_of_neighbours() -> None:
    assert smoothed(np.arange(10.0), 5).tolist() == [0.5, 2.5, 4.5, 6.5, 8.5]
    assert smoothed(np.arange(3.0), 5).tolist() == [0.0, 1.0, 2.0]


def test_a_running_loss_is_foretold_from_others() -> None:
    whole = curve(800, schedule="cosine")
    law = fit([curve(600, schedule="cosine"), curve(900, schedule="step")])
    shifted = Curve(whole.steps, 1.2 * whole.losses, whole.rates, 20)  # a run of its own level
    told = loss_forecast.outlook(shifted.half(), law)
    assert told is not None and not told.own
    assert told.steps[0] == shifted.half().steps[-1] and told.steps[-1] == 800
    assert told.end == pytest.approx(shifted.losses[-1], rel=0.01)


def test_a_running_loss_is_foretold_from_itself_where_there_is_no_other() -> None:
    whole = curve(800, schedule="wsd")
    told = loss_forecast.outlook(Curve(whole.steps[:70], whole.losses[:70], whole.rates, 20))
    assert told is not None and told.own
    assert told.end == pytest.approx(whole.losses[-1], rel=0.06)
    short = Curve(whole.steps[:14], whole.losses[:14], whole.rates, 20)
    assert loss_forecast.outlook(short) is None


def test_a_basis_is_varied_and_checks_itself() -> None:
    given = {
        7: curve(600, noise=0.01, schedule="cosine"),
        6: curve(601, noise=0.01, schedule="cosine"),
        5: curve(500, noise=0.01, schedule="wsd"),
        4: curve(700, noise=0.01, schedule="constant"),
        3: curve(900, noise=0.01, schedule="step"),
    }
    found = loss_forecast.basis(given)
    assert found is not None and found.runs == (7, 5, 4, 3) and found.shapes == 4
    assert [check.run for check in found.checks] == [7, 5, 4, 3]
    assert found.holds and max(abs(check.relative) for check in found.checks) < 0.05
    assert loss_forecast.basis({}) is None


def test_a_law_that_does_not_hold_says_so() -> None:
    one = curve(600, schedule="cosine")
    cliff = np.where(one.steps > 330, 0.05 * one.losses, one.losses)
    found = loss_forecast.basis({1: Curve(one.steps, cliff, one.rates, 20)})
    assert found is not None and not found.holds


@pytest.mark.parametrize(
    ("values", "timed"),
    [
        ([3.0] * 60, {"steps": 60, "learning_rate": 1e-3}),  # never falls
        (list(np.linspace(3, -1, 60)), {"steps": 60, "learning_rate": 1e-3}),  # below 0
        (list(np.linspace(3, 1, 60)), {}),  # no training
        (list(np.linspace(3, 1, 60)), {"steps": 30, "learning_rate": 1e-3}),  # several trainings
        ([], {"steps": 60, "learning_rate": 1e-3}),
    ],
)
def test_what_the_law_is_not_about_is_no_curve(values: list[float], timed: dict[str, Any]) -> None:
    points = pd.DataFrame({"step": range(1, len(values) + 1), "value": values})
    assert loss_forecast.curve(points.astype(float), timed) is None


def test_a_recorded_loss_is_a_curve() -> None:
    told = curve(100, schedule="linear")
    points = pd.DataFrame({"step": told.steps, "value": told.losses})
    timed = {"steps": 100, "learning_rate": PEAK, "schedule": "linear", "warmup": 20}
    found = loss_forecast.curve(points, timed)
    assert found is not None and found.warmup == 20
    assert found.rates == pytest.approx(told.rates)


def row(number: int, parent: int | None = None, **changes: Any) -> dict[str, Any]:
    setting = {"name": "arithmetic", "parameters": {"base_steps": 100, "addends": 30}}
    about = {"stage": "base", "name": "base", "parameters": {}, "setting": setting}
    return {"id": number, "parent": parent, **about, **changes}


def test_runs_are_alike_whatever_their_length_and_rate() -> None:
    longer = {"name": "arithmetic", "parameters": {"base_steps": 300, "addends": 30}}
    other = {"name": "arithmetic", "parameters": {"base_steps": 100, "addends": 20}}
    method = {"stage": "suppress", "name": "npo"}
    rows = [
        row(9, setting=longer),
        row(8, setting=other),
        row(7, stage="oracle", name="oracle"),
        row(6),
        row(5, 6, **method, parameters={"beta": 0.1, "steps": 60}),
        row(4, 9, **method, parameters={"beta": 0.1, "steps": 90}, setting=longer),
        row(3, 8, **method, parameters={"beta": 0.1, "steps": 60}, setting=other),
        row(2, 6, **method, parameters={"beta": 0.9, "steps": 60}),
    ]
    finished = pd.DataFrame(rows)
    assert loss_forecast.alike(row(6), finished) == [9]
    assert loss_forecast.alike(row(1), finished) == [9, 6]
    asked = row(1, 6, **method, parameters={"beta": 0.1, "steps": 60, "learning_rate": 1e-4})
    assert loss_forecast.alike(asked, finished) == [5]


def test_the_base_is_timed_by_its_setting_and_a_method_by_itself() -> None:
    base = {"steps": 9, "learning_rate": 0.1, "schedule": "cosine", "batch_size": 4}
    own = {"steps": 5, "learning_rate": 0.2, "beta": 1.0}
    assert loss_forecast.timing("oracle", {}, base) == {
        "steps": 9,
        "learning_rate": 0.1,
        "schedule": "cosine",
    }
    assert loss_forecast.timing("suppress", own, base) == {"steps": 5, "learning_rate": 0.2}
    assert loss_forecast.timing("suppress", {"layer": 1}, base) == {}


def test_proposals_are_sorted_and_end_as_the_law_says() -> None:
    found = schedule_proposal.proposals(LAW, 400, PEAK, 20)
    ends = [proposal.loss for proposal in found]
    assert ends == sorted(ends) and len(found) == 6
    for proposal in found:
        told = loss_forecast.rates(400, PEAK, warmup=20, **proposal.parameters)
        assert LAW.predict(told, np.array([400]), 20)[0] == pytest.approx(proposal.loss)
    free = next(proposal for proposal in found if proposal.schedule == "points")
    assert free.loss < 1.001 * min(ends)  # the free course may take nearly every other's shape
    factors = [factor for _, factor in free.points]
    assert factors[0] == 1.0 and factors == sorted(factors, reverse=True)


def test_a_long_training_is_proposed_for_as_exactly() -> None:
    found = schedule_proposal.proposals(LAW, 20_000, PEAK, 500)
    for proposal in found:
        told = loss_forecast.rates(20_000, PEAK, warmup=500, **proposal.parameters)
        assert LAW.predict(told, np.array([20_000]), 500)[0] == pytest.approx(proposal.loss)


def test_a_table_of_proposals_compares_with_the_run_s_own() -> None:
    found = schedule_proposal.proposals(LAW, 200, PEAK, 20)
    told = schedule_proposal.table(found, 2 * found[0].loss)
    assert told["against"].iloc[0] == pytest.approx(-0.5)
