"""Metrics that a study asks for beside its setting's: which runs they become, and what is not applicable."""

from typing import Any

import pandas as pd
import pytest

from backend import study
from backend.forecast import forecast
from backend.plan import PlannedRun
from backend.stage import UserError, inapplicable, reasons_in

SETTING = {"name": "arithmetic", "addends": 6, "factors": 6}
TRAINED = {"search": {"trials": 2, "space": {"learning_rate": [1e-4, 1e-2]}}}


def planned(**source: Any) -> list[PlannedRun]:
    given = {"setting": SETTING, "recipes": [{"suppress": "max_ent"}], **source}
    return study.resolve(given).runs


def audits(runs: list[PlannedRun]) -> dict[str, PlannedRun]:
    """Audit runs by the fingerprint of the model that they belong to."""
    found = [run for run in runs if (run.stage, run.name) == ("evaluate", "audit")]
    return {str(run.parent): run for run in found}


def test_every_model_is_compared_with_its_seeds_base_and_oracle() -> None:
    runs = planned(metrics=["cka", "probability"], seeds=[0, 1])
    models = {r.fingerprint: r for r in runs if r.stage in ("base", "oracle", "suppress")}
    found = audits(runs)
    assert found.keys() == models.keys() and len(found) == 6
    by_seed = {(r.stage, r.seed): r.fingerprint for r in models.values()}
    for parent, audit in found.items():
        seed = models[parent].seed
        assert audit.inputs == {role: [by_seed[role, seed]] for role in ("base", "oracle")}
        assert audit.parameters == {"metrics": ["cka", "probability"]}


def test_a_second_oracle_is_compared_with_the_first_ones_seed() -> None:
    runs = planned(metrics=["cka"], oracles=2)
    base = next(r.fingerprint for r in runs if r.stage == "base")
    twin = max((r for r in runs if r.stage == "oracle"), key=lambda r: r.seed)
    assert audits(runs)[twin.fingerprint].inputs["base"] == [base]


def test_trials_of_a_search_are_not_audited_and_none_asks_for_nothing() -> None:
    runs = planned(metrics=["cka"], recipes=[{"suppress": "npo", **TRAINED}])
    assert len(audits(runs)) == 3  # base, oracle and the chosen one; two trials are not
    assert audits(planned()) == {}
    assert audits(planned(metrics=["loss", "answer_accuracy", "scalability"])) == {}


def test_an_audit_knows_which_items_its_recipe_was_told_of() -> None:
    recipe = {"suppress": "max_ent", "label_fraction": 0.5}
    runs = planned(metrics=["forget_generalization"], recipes=[recipe])
    told = [run.parameters.get("labels") for run in audits(runs).values()]
    assert told == [None, None, {"fraction": 0.5, "source": "true", "noise": 0.0}]


def test_all_is_everything_but_what_a_whole_study_is_asked() -> None:
    plan = study.resolve({"setting": SETTING, "metrics": "all"})
    assert {"cka", "mia_loss", "pass_at_k"} <= set(plan.document["audit"])
    assert not {"scalability", "knowledge_verdict"} & set(plan.document["audit"])
    assert plan.document["metrics"]["cka"]["level"] == "pair"


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        (["ckaa"], "no metric 'ckaa'; there are: .*cka, "),
        ("some", "metrics = 'some' must be a list of metrics' names, or \"all\""),
        (3, "metrics = 3 must be"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(metrics: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        planned(metrics=metrics)


def test_what_is_asked_of_every_model_is_in_the_forecast() -> None:
    given = {"setting": SETTING, "recipes": [{"suppress": "max_ent"}]}
    plans = [study.resolve({**given, "metrics": metrics}) for metrics in ([], "all")]
    told = [forecast(plan, set(), pd.DataFrame(), 1) for plan in plans]
    assert told[1].flops > told[0].flops and told[1].seconds > told[0].seconds


def test_a_note_gives_back_the_reasons_that_were_put_into_it() -> None:
    lines = ["The probe of layer 2 answers most.", inapplicable("cka", "no base: none given")]
    assert reasons_in("\n".join(lines)) == {"cka": "no base: none given"}
    assert reasons_in(None) == {} and reasons_in("n/a") == {}
