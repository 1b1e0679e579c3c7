"""A budget and a floor: what keeps them, in the picture and in words."""

import numpy as np
import pandas as pd
import pytest

from backend.charts.frontier import PALE, frontier_chart
from backend.charts.screen_names import HEIGHT, WIDTH, _box, _meet, places
from backend.frontier import frame
from backend.limits import Limits, feasible, told
from tests.frames import small


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return frame(small().build())


def test_an_unknown_number_keeps_no_limit(rows):
    lacking = rows.copy()
    lacking["compute"] = lacking["compute"].astype(object)
    lacking.loc[lacking["configuration"] == "MaxEnt", "compute"] = None
    kept = feasible(lacking, Limits(compute=0.3))
    expected = [value is not None and value <= 0.3 for value in lacking["compute"]]
    assert kept.tolist() == expected and any(expected) and not all(expected)
    assert feasible(lacking, Limits()).all()


def test_the_sentence_counts_what_keeps_the_limits(rows):
    assert told(rows, Limits()) == ""
    said = told(rows, Limits(compute=0.3, utility=0.96))
    mine = rows[~rows["method"].isin(["base", "oracle"])]
    kept = mine[(mine["compute"] <= 0.3) & (mine["utility"] >= 0.96)]
    best = kept.loc[kept["robust_forget_quality"].astype(float).idxmax(), "configuration"]
    cheapest = kept.loc[kept["compute"].astype(float).idxmin(), "configuration"]
    assert said.startswith(f"{len(kept)} of {len(mine)} configurations keep utility at least 0.96 and compute at most 0.3.")  # fmt: skip
    assert f"Of them {best} (robust" in said and f"{cheapest} (robust" in said and best != cheapest
    assert said.endswith("is the cheapest.")
    assert told(rows, Limits(utility=5.0)) == f"0 of {len(mine)} configurations keep utility at least 5."  # fmt: skip


def test_who_must_last_is_a_limit_too(rows):
    kept = feasible(rows, Limits(robust_forget_quality=0.8))
    expected = rows["robust_forget_quality"].astype(float) >= 0.8
    assert kept.tolist() == expected.tolist() and kept.any() and not kept.all()
    text = str(frontier_chart(rows, limits=Limits(robust_forget_quality=0.8)).to_dict())
    assert "'type': 'rect'" in text


def test_what_does_not_keep_the_limits_is_shaded_and_pale(rows):
    text = str(frontier_chart(rows, limits=Limits(utility=0.99)).to_dict())
    assert "'type': 'rect'" in text and f"'value': {PALE}" in text
    free = str(frontier_chart(rows).to_dict())
    assert "'type': 'rect'" not in free
    aside = str(frontier_chart(rows, x="compute", limits=Limits(utility=0.99)).to_dict())
    assert "'type': 'rect'" not in aside, "utility is not drawn there"


def test_names_cover_neither_each_other_nor_a_point():
    generator = np.random.default_rng(1)
    points = generator.random((25, 2))
    names = [f"configuration {i}" for i in range(25)]
    found = places(points, names, points)
    boxes = [_box(p, n, place) for p, n, place in zip(points, names, found, strict=True) if place]
    assert 3 < len(boxes) < 25
    assert not any(_meet(one, other) for i, one in enumerate(boxes) for other in boxes[:i])
    for box in boxes:
        centres = np.column_stack([points[:, 0] * WIDTH, (1 - points[:, 1]) * HEIGHT])
        inside = (centres > box[:2]).all(1) & (centres < box[2:]).all(1)
        assert not inside.any() and box[0] >= 0 and box[2] <= WIDTH
