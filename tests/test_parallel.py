"""Parallel coordinates: scales, ticks, and that the picture can be drawn."""

import pandas as pd
import pytest

from backend import exports
from backend.charts.parallel import parallel_chart
from backend.parallel_axes import MISSING, axis_of, lines, varying, written


def test_numbers_stand_between_the_smallest_and_the_largest() -> None:
    axis = axis_of("alpha", [0.2, 0.5, 0.8])
    assert axis.positions == pytest.approx([0.0, 0.5, 1.0])
    assert {label: place for place, label in axis.ticks}["0.4"] == pytest.approx(1 / 3)
    assert not axis.logarithmic


def test_what_spans_many_times_itself_is_logarithmic_with_round_ticks() -> None:
    axis = axis_of("rate", [1e-4, 1e-3, 1e-2])
    assert axis.logarithmic and axis.positions == pytest.approx([0.0, 0.5, 1.0])
    assert [label for _, label in axis.ticks] == ["0.0001", "0.001", "0.01"]


def test_a_missing_value_is_below_the_axis_and_never_zero() -> None:
    axis = axis_of("alpha", [0.0, None, 1.0, float("nan")])
    assert axis.positions == [0.0, MISSING, 1.0, MISSING]
    assert axis.ticks[0] == (MISSING, "none")


def test_texts_are_evenly_spaced_and_lists_are_texts() -> None:
    assert axis_of("student", ["b", "a", "c"]).positions == [0.5, 0.0, 1.0]
    assert axis_of("metrics", [["x"], ["y"], None]).positions == [0.0, 1.0, MISSING]
    assert axis_of("flag", [True, False]).positions == [1.0, 0.0]


@pytest.mark.parametrize("values", [[], [None], [3, 3], [0.0, 0.0], [float("inf"), 1.0], [-5, 5], [1e-300, 1e300]])  # fmt: skip
def test_no_column_is_too_odd_for_a_scale(values: list) -> None:
    axis = axis_of("odd", values)
    assert len(axis.positions) == len(values)
    assert all(place == MISSING or 0 <= place <= 1 for place in axis.positions)
    assert len(axis.ticks) <= 8


@pytest.mark.parametrize("low", [0.0, 0.001, 17.0])
@pytest.mark.parametrize("width", [1e-3, 0.7, 3.0, 1234.0])
def test_an_axis_has_a_few_ticks(low: float, width: float) -> None:
    assert 2 <= len(axis_of("x", [low, low + width]).ticks) <= 8


def test_constant_columns_and_names_of_rows_are_dropped() -> None:
    frame = pd.DataFrame({"same": [1, 1, 1], "none": [None] * 3, "alpha": [0.1, None, 0.1], "beta": [1, 2, 2]})  # fmt: skip
    assert varying(frame, frame.columns) == ["alpha", "beta"]
    many = pd.DataFrame({"name": [f"run {k}" for k in range(30)]})
    assert varying(many, ["name"]) == []


def test_every_line_has_a_point_on_every_axis_with_its_own_value() -> None:
    frame = pd.DataFrame({"who": ["a", "b"], "x": [1, None], "y": ["p", "q"]})
    table = lines(frame, [axis_of("x", frame["x"]), axis_of("y", frame["y"])], {"who": "name"})
    assert table[["row", "axis", "value"]].values.tolist() == [[0, "x", "1"], [1, "x", "—"], [0, "y", "p"], [1, "y", "q"]]  # fmt: skip
    assert written(0.123456) == "0.1235"


@pytest.mark.parametrize("chosen", [[], ["a"], ["a", "b"]])
def test_the_picture_is_drawn_with_the_chosen_strong(chosen: list[str]) -> None:
    frame = pd.DataFrame({"name": ["a", "b"], "method": ["undo", "npo"], "x": [1.0, 2.0], "y": [None, 0.5]})  # fmt: skip
    axes = [axis_of(name, frame[name].tolist()) for name in ("x", "y")]
    chart = parallel_chart(frame, axes, {"x": "A rather long title of it"}, chosen, "dark")
    told = chart.to_dict()
    assert [param["name"] for param in told["params"]] == ["pick"]
    drawn = [told["datasets"][layer["data"]["name"]] for layer in told["layer"] if layer["mark"]["type"] == "line"]  # fmt: skip
    strong = {row["name"] for row in drawn[-1]}
    assert strong == (set(chosen) or {"a", "b"})
    svg = exports.svg(chart).decode()
    assert "A rather" in svg and "none" in svg and "undo" in svg
