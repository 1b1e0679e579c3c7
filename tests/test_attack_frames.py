"""The tables and charts of attacks, against scikit-learn and hand-made studies."""

import json

import numpy as np
import pandas as pd
import pytest
import vl_convert

from backend.attack_frames import by_place, matrix, pivot, roc
from backend.charts.attacks import matrix_chart, place_chart, roc_chart
from tests.frames import small
from tests.test_attack_summary import LENS, QUANTIZE, TOLD, attack_all, relearned

metrics = pytest.importorskip("sklearn.metrics")


def states() -> pd.DataFrame:
    """One attack that is known, one that does not apply, one of which a cell is missing."""
    made = relearned()
    made.document["attacks"] += [{**QUANTIZE, "label": "Quantisation"}, LENS]
    told = dict.fromkeys(("Base", "Oracle", "A", "B", "C"), TOLD)
    attack_all(made, "quantize", QUANTIZE["grid"][0], told)
    return matrix(made.build())


def test_a_cell_is_known_or_blank_or_says_why_and_never_zero_for_unknown() -> None:
    frame = states().set_index(["configuration", "attack"])
    assert frame.loc[("A", "relearn"), "state"] == "known"
    assert frame.loc[("A", "relearn"), "recovery"] == 1.0
    assert frame.loc[("A", "quantize"), "state"] == "n/a"
    assert TOLD in frame.loc[("A", "quantize"), "reason"]
    assert frame.loc[("A", "logit_lens"), "state"] == "missing"
    assert frame[frame["state"] != "known"]["recovery"].isna().all()
    wide = pivot(states())
    assert list(wide.loc["A"]) == ["1.000", "n/a", ""]
    assert list(wide.columns) == ["relearn", "Quantisation", "logit_lens"]


def test_the_charts_are_valid_and_say_the_states_in_words() -> None:
    chart = matrix_chart(states())
    assert len(vl_convert.vegalite_to_svg(chart.to_dict())) > 1000
    shown = json.dumps(chart.to_dict())
    assert '"n/a"' in shown and '"1.00"' in shown
    assert matrix_chart(matrix(small().build())).to_dict()
    curves = roc({"A": (np.array([0.9, 0.2]), np.array([0.5, 0.1]))})
    assert vl_convert.vegalite_to_svg(roc_chart(curves).to_dict())
    places = pd.DataFrame({"configuration": ["A"] * 2, "place": [0, 1], "value": [0.1, 0.9]})
    assert vl_convert.vegalite_to_svg(place_chart(places, "layer", "Accuracy").to_dict())


def test_a_roc_curve_is_scikit_learns() -> None:
    numbers = np.random.default_rng(0)
    members = numbers.normal(0.5, 1, 80).round(1)  # rounded: there are ties
    others = numbers.normal(0, 1, 120).round(1)
    found = roc({"m": (-members, -others)})  # the smaller one says member
    truth = np.r_[np.ones(80), np.zeros(120)]
    values = np.r_[members, others]
    fpr, tpr, _ = metrics.roc_curve(truth, values, drop_intermediate=False)
    assert np.allclose(found["fpr"], fpr) and np.allclose(found["tpr"], tpr)
    assert found["auc"].iloc[0] == pytest.approx(metrics.roc_auc_score(truth, values))


def test_values_by_layer_belong_to_the_model_above_their_run() -> None:
    made = relearned()
    model = int(made.document["configurations"][2]["runs"]["0"][3:])
    audit = made.run("evaluate", "audit", 0, model)
    rows = [
        {"run": audit, "metric": "cka", "split": "model", "category": place, "value": value}
        for place, value in (("", 0.5), ("layer 1", 0.25), ("layer 0", 0.75), ("oracle", 0.1))
    ]
    found = by_place(made.document, pd.DataFrame(rows), made.runs, "cka", "layer")
    assert found.values.tolist() == [["A", "a", 0, 0, 0.75], ["A", "a", 0, 1, 0.25]]
