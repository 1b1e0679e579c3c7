"""Cost by stage after a study, and what finished runs teach about one to come."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from backend import cost, study
from backend.charts.cost import amounts_chart, shares_chart
from backend.forecast import forecast
from backend.learned_cost import LATEST
from backend.plan import PlannedRun
from backend.planned_cost import planned_flops
from backend.settings import build_task
from db import reads
from db.session import require_database
from tests.seed_database import seed_study

SETTING = {"name": "arithmetic", "addends": 6, "factors": 6}


def run(number: int, stage: str, parent: int | None = None, **changes: Any) -> dict[str, Any]:
    ledger = {"state": "complete", "flops": 10.0 * number, "seconds": 1.0 * number}
    about = {"id": number, "fingerprint": f"f{number}", "stage": stage, "parent": parent}
    return {**about, **ledger, **changes}


# A base, its evaluation, an oracle, two trials with evaluations, the model they led to, its evaluation and two attacks.
RUNS = pd.DataFrame(
    [
        run(1, "base"),
        run(2, "evaluate", 1),
        run(3, "oracle"),
        run(4, "suppress", 1),
        run(5, "evaluate", 4),
        run(6, "suppress", 1),
        run(7, "evaluate", 6),
        run(8, "suppress", 1),
        run(9, "evaluate", 8),
        run(10, "attack", 8),
        run(11, "attack", 8, state="failed", flops=None, seconds=3.0),
    ]
)
INPUTS = pd.DataFrame(
    {
        "run": [8, 8, 9],
        "role": ["trials", "trials", "oracle"],
        "position": [0, 1, 0],
        "input": [4, 6, 3],
    }
)
DOCUMENT = {
    "configurations": [
        {"label": "Base", "runs": {"0": "f1"}},
        {"label": "Oracle", "runs": {"0": "f3"}},
        {"label": "MaxEnt", "runs": {"0": "f8"}},
    ]
}


def by_stage(costs: pd.DataFrame, column: str) -> dict[str, Any]:
    return dict(zip(costs["stage"], costs[column], strict=True))


def test_every_run_is_counted_once_and_under_its_stage() -> None:
    told = cost.whole(RUNS, INPUTS, DOCUMENT)
    assert by_stage(told, "seconds") == {
        "base": 1.0,
        "oracle": 3.0,
        "suppress": 8.0,
        "search trials": 4.0 + 5.0 + 6.0 + 7.0,
        "evaluation": 2.0 + 9.0,
        "attacks": 10.0,
    }
    assert told["seconds"].sum() == 55.0 and told["flops"].sum() == 550.0
    assert told["share_of_seconds"].sum() == pytest.approx(1.0)
    assert by_stage(told, "runs")["attacks"] == 2 and by_stage(told, "finished")["attacks"] == 1


def test_a_configuration_has_all_that_it_needs_and_nothing_else() -> None:
    told = cost.by_configuration(RUNS, INPUTS, DOCUMENT)
    parts = {name: by_stage(part, "seconds") for name, part in told.groupby("configuration")}
    assert parts["Base"] == {"base": 1.0, "evaluation": 2.0}
    assert parts["Oracle"] == {"oracle": 3.0}
    assert parts["MaxEnt"] == {
        "base": 1.0,
        "suppress": 8.0,
        "search trials": 22.0,
        "evaluation": 9.0,
        "attacks": 10.0,
    }


def test_a_trial_that_is_another_recipe_s_model_is_no_trial() -> None:
    more = {"configurations": [*DOCUMENT["configurations"], {"label": "X", "runs": {"0": "f4"}}]}
    told = by_stage(cost.whole(RUNS, INPUTS, more), "seconds")
    assert told["search trials"] == 6.0 + 7.0 and told["suppress"] == 8.0 + 4.0


def test_without_any_finished_run_shares_are_missing_not_zero() -> None:
    waiting = RUNS.assign(state="waiting", flops=None, seconds=None)
    told = cost.whole(waiting, INPUTS, DOCUMENT)
    assert told["share_of_flops"].isna().all() and told["finished"].sum() == 0
    shares_chart(told).to_dict()


def test_a_study_of_the_database_adds_up(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETHE_HOME", str(tmp_path))
    monkeypatch.delenv("LETHE_DATABASE_URL", raising=False)
    engine = require_database()
    seed_study(engine, ['recipes=[{suppress="max_ent"}]', "attacks.0.learning_rate=[1e-3]"])
    record = reads.study(engine, "quick")
    assert record is not None
    runs, inputs = reads.study_runs(engine, record.id), reads.inputs(engine, record.id)
    told = cost.whole(runs, inputs, record.document)
    assert told["seconds"].sum() == pytest.approx(runs["seconds"].sum())
    assert told["runs"].sum() == len(runs) == told["finished"].sum()
    assert set(told["stage"]) == {"base", "oracle", "suppress", "evaluation", "attacks"}
    each = cost.by_configuration(runs, inputs, record.document)
    drawn = amounts_chart(each, "flops").to_dict()
    assert drawn["encoding"]["y"]["sort"] == ["Base", "Oracle", "MaxEnt"]
    assert shares_chart(told).to_dict()["encoding"]["color"]["scale"]["domain"][0] == "base"


ATTACK = {"name": "relearn", "learning_rate": [1e-3, 3e-3], "steps": 30}
PLAN = study.resolve(
    {"setting": SETTING, "recipes": [{"suppress": "max_ent"}], "attacks": [ATTACK]}
)
TASK = build_task(PLAN.runs[0].setting["name"], PLAN.runs[0].setting["parameters"])


def done(
    runs: Sequence[PlannedRun], work: float = 1.0, rate: float = 1e9, peak: int = 600_000_000
) -> list[dict[str, Any]]:
    """Finished runs that took `work` times the planned FLOPs at a rate."""
    told = ((one, work * planned_flops(one, TASK)) for one in runs)
    return [
        {
            "stage": one.stage, "name": one.name, "parameters": one.parameters, "setting": one.setting,
            "flops": flops, "seconds": flops / rate, "peak_memory": peak,
        }
        for one, flops in told
    ]  # fmt: skip


def told(rows: list[dict[str, Any]], slots: int = 1) -> Any:
    return forecast(PLAN, set(), pd.DataFrame(rows), slots)


def test_the_same_study_again_is_forecast_as_it_was() -> None:
    rows = done(PLAN.runs, work=1.7, rate=3e9, peak=712_000_000)
    found = told(rows)
    assert found.flops == pytest.approx(sum(row["flops"] for row in rows))
    assert found.seconds == pytest.approx(sum(row["seconds"] for row in rows))
    assert found.memory_bytes == pytest.approx(712e6)
    assert found.basis == f"{len(rows)} past runs"


def test_one_slow_run_and_old_ones_do_not_decide() -> None:
    usual = done(PLAN.runs, rate=1e9)
    slow = done(PLAN.runs, rate=1e6)
    old = done(PLAN.runs, rate=1e12)
    rows = [*usual * 9, *slow, *usual * (LATEST - 10), *old * LATEST]
    assert told(rows).seconds == pytest.approx(told(usual).seconds)


def test_a_part_s_own_runs_count_before_those_of_its_stage() -> None:
    attack = next(one for one in PLAN.runs if one.stage == "attack")
    other = {**done([attack], rate=1e6)[0], "name": "another"}
    assert told([*done(PLAN.runs), other]).seconds == told(done(PLAN.runs)).seconds


def test_a_kind_that_was_never_timed_goes_by_others_and_is_named() -> None:
    rows = done([one for one in PLAN.runs if one.stage != "suppress"], rate=5e8)
    found = told(rows)
    assert found.seconds == pytest.approx(found.flops / 5e8, rel=1e-6)
    new = sum(one.stage == "suppress" for one in PLAN.runs)
    assert found.basis.endswith(f"which hold none like {new} of the {len(PLAN.runs)} new ones")


def test_without_history_a_typical_core_stands_in() -> None:
    found = told([])
    assert found.basis == "a typical core" and found.seconds > 0
    assert forecast(PLAN, {one.fingerprint for one in PLAN.runs}, pd.DataFrame(), 1).seconds == 0


def test_sums_by_part_are_history_enough() -> None:
    rows = [{"stage": "base", "name": "base", "flops": 1e12, "seconds": 500.0}]
    found = told(rows)
    assert found.seconds == pytest.approx(found.flops / 2e9, rel=1e-6)


def test_slots_share_the_time_but_no_run_is_shared() -> None:
    rows = done(PLAN.runs)
    longest = max(row["seconds"] for row in rows)
    one, many = told(rows), told(rows, slots=1000)
    assert told(rows, slots=2).seconds == pytest.approx(max(one.seconds / 2, longest))
    assert many.seconds == pytest.approx(longest)
    assert many.memory_bytes == pytest.approx(len(PLAN.runs) * one.memory_bytes)


def test_memory_grows_with_a_model_that_was_never_run() -> None:
    rows = done(PLAN.runs, peak=500_000_000)
    larger = study.resolve({"setting": {**SETTING, "size": "medium"}, "recipes": []})
    found = forecast(larger, set(), pd.DataFrame(rows), 1)
    assert (
        found.memory_bytes > 500e6 + 12 * 7e6
    )  # 7 million parameters: weight, gradient, two means
    assert forecast(larger, set(), pd.DataFrame(), 1).memory_bytes > 450e6 + 16 * 7e6


def test_runs_of_before_today_s_parameters_count_by_what_they_took() -> None:
    rows = [{**row, "parameters": {"gone": 1}} for row in done(PLAN.runs, rate=1e9)]
    found = told(rows)
    assert found.seconds == pytest.approx(found.flops / 1e9, rel=0.5)


def test_the_database_gives_such_a_history(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETHE_HOME", str(tmp_path))
    monkeypatch.delenv("LETHE_DATABASE_URL", raising=False)
    engine = require_database()
    count = seed_study(engine, ['recipes=[{suppress="max_ent"}]', "attacks.0.learning_rate=[1e-3]"])
    history = reads.finished_runs(engine)
    assert len(history) == count and history["id"].is_monotonic_decreasing
    assert len(reads.finished_runs(engine, limit=3)) == 3
    again = study.resolve(study.load("quick", ['recipes=[{suppress="max_ent"}]']))
    base = [one for one in again.runs if one.stage == "base"]
    found = forecast(study.Plan(again.document, base), set(), history, 1)
    assert found.seconds == pytest.approx(90.0 * len(base), rel=0.01)
    assert found.memory_bytes == pytest.approx(500e6)


def test_what_trains_from_the_start_costs_a_base_and_what_takes_no_step_a_look() -> None:
    recipes = [
        {"pretrain": "data_filtering"},
        {"suppress": "ssd"},
        {"wrap": "in_context_unlearning"},
    ]
    plan = study.resolve({"setting": SETTING, "recipes": recipes})
    costs = {one.name: planned_flops(one, TASK) for one in plan.runs}
    base = next(planned_flops(one, TASK) for one in plan.runs if one.stage == "base")
    assert base / 3 < costs["data_filtering"] < 3 * base
    assert 0 < costs["ssd"] < base / 20
    assert costs["in_context_unlearning"] == 0
