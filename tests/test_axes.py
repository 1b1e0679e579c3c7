"""Axes say which end is better, in words and in the front."""

import pytest

from backend.charts.axes import OBJECTIVES, axes_of, axis_of
from backend.frontier import frame
from tests.frames import accuracy, small


@pytest.fixture(scope="module")
def document():
    return small().build()


def test_objectives_come_first_and_costs_last(document):
    names = list(axes_of(document))
    assert names[:4] == list(OBJECTIVES)
    assert {"forget_accuracy", "retain_accuracy"} <= set(names[4:])
    assert set(names) <= set(frame(document).columns)
    assert names[-1] in ("seconds", "flops", "steps", "tokens", "peak_memory", "inference_overhead")


def test_on_forget_data_less_capability_is_better(document):
    axes = axes_of(document)
    assert axes["forget_accuracy"].better == "down"
    assert axes["retain_accuracy"].better == "up"
    assert axes["forget_accuracy"].title().endswith("on forget data (↓ share)")
    assert axes["flops"].better == "down"


def test_a_loss_is_the_other_way_round(document):
    told = {"mean": 0.5, "low": None, "high": None, "values": [0.5]}
    rows = [{**document["rows"][2], "metrics": {"forget_loss": told, "retain_loss": told}}]
    axes = axes_of({**document, "rows": rows, "metrics": {"loss": accuracy("down")}})
    assert (axes["forget_loss"].better, axes["retain_loss"].better) == ("up", "down")


def test_a_metric_of_the_whole_model_says_so_itself(document):
    rows = [dict(document["rows"][2])]
    told = {"mean": 0.5, "low": None, "high": None, "values": [0.5]}
    rows[0]["metrics"] = {"tofu_model_utility": told, "mia_loss": told, "score": told, "utility": told}  # fmt: skip
    declared = {"score": {"direction": "up", "better": "down", "unit": "p", "range": [0, 1]}}
    axes = axes_of({**document, "rows": rows, "metrics": declared})
    assert axes["tofu_model_utility"].better == "up"
    assert axes["mia_loss"].better == ""
    assert (axes["score"].better, axes["score"].high) == ("down", 1)
    assert axes["utility"] is OBJECTIVES["utility"], "an objective keeps its name"
    assert axes["reported_utility"].label == "utility", (
        "and others' metric of that name has another"
    )


def test_what_no_row_knows_is_no_axis(document):
    rows = [{**row, "compute": {"mean": None, "values": []}} for row in document["rows"]]
    assert "compute" not in axes_of({**document, "rows": rows})
    assert axis_of("whatever_it_is").better == ""
