"""Views that are put together as they are, against what altair makes of copies of them; charts that are made later."""

import re
from typing import Any

import altair as alt
import pandas as pd
import pytest

from backend.charts.layers import layered, panelled
from pages.components.drawing import later

ROWS = pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, 5.0], "name": ["a", "b"]})
ELSEWHERE = pd.DataFrame({"x": [0.0], "y": [0.0], "name": ["zero"]})


def views(rows: pd.DataFrame, over: pd.DataFrame) -> list[Any]:
    """A line, points with a selection, and text over other rows."""
    pick = alt.selection_point(name="pick", fields=["name"], bind="legend")
    base = alt.Chart(rows).encode(x=alt.X("x:Q"), y=alt.Y("y:Q"))
    points = base.mark_point().encode(color=alt.Color("name:N")).add_params(pick)
    text = alt.Chart(over).mark_text().encode(x=alt.X("x:Q"), text=alt.Text("name:N"))
    return [base.mark_line(), points, text]


def named_alike(chart: Any) -> str:
    """The specification, valid, with its view under one name: altair's is a hash."""
    return re.sub(r"view_[0-9a-f_]+", "view", chart.to_json(validate=True))


@pytest.mark.parametrize("over", [ROWS, ELSEWHERE])
def test_layers_are_what_altair_makes_of_them(over: pd.DataFrame) -> None:
    expected = alt.layer(*views(ROWS, over)).properties(height=120, title="Two")
    made = layered(*views(ROWS, over), height=120, title="Two")
    assert named_alike(made) == named_alike(expected)
    assert named_alike(made.properties(width=50)) == named_alike(expected.properties(width=50))


def test_layers_over_data_of_the_whole_are_what_altair_makes_of_them() -> None:
    marks = [alt.Chart().mark_line(), alt.Chart(ELSEWHERE).mark_point()]
    marks = [mark.encode(x=alt.X("x:Q"), y=alt.Y("y:Q")) for mark in marks]
    assert layered(*marks, data=ROWS).to_dict() == alt.layer(*marks, data=ROWS).to_dict()


def test_layering_changes_none_of_the_views() -> None:
    given = views(ROWS, ROWS)
    before = [view.to_dict() for view in given]
    layered(*given).to_dict()
    assert [view.to_dict() for view in given] == before


def test_a_selection_of_panels_names_views_that_are_there() -> None:
    frame = alt.IntervalSelectionConfig(type="interval", encodings=["x", "y"], resolve="global")
    marks = [alt.Chart(ROWS, name=name).mark_point().encode(x=alt.X("x:Q")) for name in ("one", "two")]  # fmt: skip
    box = alt.TopLevelSelectionParameter(name="box", select=frame, views=["one", "two"])
    told = panelled(*(layered(mark) for mark in marks), params=[box], spacing=7).to_dict()
    assert [panel["layer"][0]["name"] for panel in told["hconcat"]] == told["params"][0]["views"]
    assert told["spacing"] == 7


def test_a_chart_for_later_is_made_once_and_only_when_it_is_asked_for() -> None:
    made = []

    def make() -> Any:
        made.append(1)
        return alt.Chart(ROWS).mark_point().encode(x=alt.X("x:Q"))

    chart = later(make)
    assert not made
    assert chart.to_dict() == chart.to_dict() == make().to_dict()
    assert len(made) == 2  # one of them is this test's own
