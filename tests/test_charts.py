"""Charts: what they draw is what the frame says, and marks can be found by their names."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import vl_convert

from backend.charts.captions import caption
from backend.charts.frontier import drawn, frontier_chart
from backend.charts.labels import labels_chart, series
from backend.charts.naming import told_apart
from backend.charts.panels import panels_chart
from backend.charts.presets import PRESETS
from backend.charts.printing import printed
from backend.charts.robustness import (
    cells_chart,
    compute_chart,
    dumbbell_chart,
    grid_chart,
    oracle_matching_chart,
    relearning_chart,
)
from backend.charts.staircase import domain, front, staircase, step_of
from backend.charts.theme import DIRECTIONS
from backend.charts.training import category_chart, loss_chart
from backend.frontier import frame
from tests.frames import small


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return frame(small(missing=["GradDiff"]).build())


@pytest.fixture(scope="module")
def curves() -> pd.DataFrame:
    return small(missing=["GradDiff"]).curves()


def height_of(line: pd.DataFrame, x: str, y: str, at: float) -> float:
    """The staircase's y at an x between its vertices, as Vega draws it."""
    across, along = line[x].to_numpy(), line[y].to_numpy()
    position = int(np.searchsorted(across, at))
    return float(along[position if step_of(x) == "step-before" else position - 1])


@pytest.mark.parametrize("x", ["utility", "compute"])
@pytest.mark.parametrize("y", ["robust_forget_quality", "compute", "utility"])
def test_the_staircase_bounds_exactly_what_is_dominated(x: str, y: str) -> None:
    if x == y:
        return
    generator = np.random.default_rng(5)
    made = pd.DataFrame(generator.random((12, 2)), columns=[x, y])
    made = made.assign(method="undo", complete=True)
    line = staircase(made, x, y, (-0.1, 1.1), (-0.1, 1.1))
    up = [DIRECTIONS[name] == "up" for name in (x, y)]
    for across, along in generator.uniform(-0.1, 1.1, size=(400, 2)):
        behind = [
            (px >= across if up[0] else px <= across) and (py >= along if up[1] else py <= along)
            for px, py in made[[x, y]].to_numpy()
        ]
        reached = line[x].min() <= across <= line[x].max()
        edge = height_of(line, x, y, across) if reached else (-np.inf if up[1] else np.inf)
        assert any(behind) == (along <= edge if up[1] else along >= edge)


def test_the_front_leaves_out_anchors_and_open_rows(rows: pd.DataFrame) -> None:
    kept = set(front(rows, "utility", "robust_forget_quality")["configuration"])
    assert "MaxEnt → Distillation" in kept
    assert not kept & {"Base", "Oracle", "GradDiff"}


def test_hollow_means_missing_cells_and_nothing_else(rows: pd.DataFrame) -> None:
    shown = drawn(rows, "utility", "robust_forget_quality", "compute").set_index("configuration")
    assert list(shown.index[shown["kind"] != "complete"]) == ["GradDiff"]
    assert shown.loc["GradDiff", "robust_forget_quality"] == shown.loc["GradDiff", "robust_so_far"]
    assert shown.loc["GradDiff", "cells"] == "6 of 9"


def test_the_oracle_stands_at_one_where_its_band_is_unknown() -> None:
    alone = frame(small((0,)).build())
    shown = drawn(alone, "utility", "robust_forget_quality", "compute").set_index("configuration")
    assert np.isnan(alone.set_index("configuration").loc["Oracle", "robust_forget_quality"])
    assert shown.loc["Oracle", "robust_forget_quality"] == 1


def test_a_row_without_a_place_is_not_drawn_and_never_a_zero(rows: pd.DataFrame) -> None:
    lacking = rows.copy()
    lacking.loc[lacking["configuration"] == "MaxEnt", "utility"] = None
    shown = drawn(lacking, "utility", "robust_forget_quality", "compute")
    assert "MaxEnt" not in set(shown["configuration"])


def test_every_point_can_be_found_and_picked_by_its_name(rows: pd.DataFrame) -> None:
    chart = frontier_chart(rows, selected=["MaxEnt"])
    specification = chart.to_dict()
    pick = next(p for p in specification["params"] if p["name"] == "pick")
    assert pick["select"]["fields"] == ["configuration"]
    assert specification["usermeta"] == {"embedOptions": {"renderer": "svg"}}
    labels = set(re.findall(r'aria-label="([^"]*)"', vl_convert.vegalite_to_svg(specification)))
    assert set(rows["configuration"]) <= labels


@pytest.mark.parametrize(("x", "y", "size"), [("compute", "utility", "claimed_forget_quality")])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_any_objectives_make_a_chart(
    rows: pd.DataFrame, x: str, y: str, size: str, theme: str
) -> None:
    text = str(frontier_chart(rows, x, y, size, (), theme).to_dict())
    assert "Compute (↓ FLOPs; base = 0, oracle = 1)" in text


def test_titles_say_what_the_scale_is_anchored_at(rows: pd.DataFrame) -> None:
    text = str(frontier_chart(rows.assign(anchor="floor")).to_dict())
    assert "base = 0, floor = 1" in text
    assert "oracle = 1" not in text


def test_an_axis_holds_every_interval(rows: pd.DataFrame) -> None:
    low, high = domain(rows, "robust_forget_quality")
    assert low < rows["robust_forget_quality_low"].min()
    assert high > rows["robust_forget_quality_high"].max()
    assert domain(rows.iloc[:0], "utility") == (0.0, 1.0)


def test_an_empty_frame_makes_empty_charts() -> None:
    nothing = frame({**small((0,)).build(), "rows": []})
    frontier_chart(nothing).to_dict()
    compute_chart(nothing).to_dict()
    dumbbell_chart(nothing).to_dict()
    assert caption(nothing) == "No configuration has a number yet."


def layers(chart: Any) -> list[dict[str, Any]]:
    return chart.to_dict()["layer"]


def test_attack_charts_build_and_convert(rows: pd.DataFrame, curves: pd.DataFrame) -> None:
    mine = curves[curves["configuration"] == "GradDiff"]  # only a worst case so far
    made = (
        relearning_chart(curves), cells_chart(mine), grid_chart(curves), dumbbell_chart(rows),
        compute_chart(rows),
    )  # fmt: skip
    for chart in made:
        assert vl_convert.vegalite_to_svg(
            printed(chart, PRESETS["two columns"]).specification
        ).startswith("<svg")
    assert len(layers(relearning_chart(curves))) == 3
    assert len(layers(relearning_chart(curves[curves["seed"] == 0]))) == 2  # no band at one seed


def test_other_charts_build() -> None:
    matching = pd.DataFrame(
        {"configuration": ["a", "b"], "student": ["base", "random"], "steps": [200, 600],
         "kl": [0.04, 0.007], "after": [0.3, 0.1], "seed": [0, 0]}
    )  # fmt: skip
    oracle_matching_chart(matching).to_dict()
    loss = pd.DataFrame({"metric": ["loss"] * 3, "step": [0, 1, 2], "value": [3.0, 2.0, 1.0]})
    loss_chart(loss).to_dict()
    figures = pd.DataFrame(
        {"category": ["×", "÷"], "split": ["forget_score"] * 2, "metric": ["accuracy"] * 2,
         "value": [0.1, 0.2], "standard_error": [0.01, None], "items": [100, 100]}
    )  # fmt: skip
    category_chart(figures).to_dict()


def test_the_caption_counts_and_names_who_hides(rows: pd.DataFrame) -> None:
    told = caption(rows)
    kept = int((rows["on_front"] == True).sum())  # noqa: E712
    assert told.startswith(f"{kept} of 5 complete configurations are non-dominated")
    assert "MaxEnt claims 0.99 and keeps 0.24 after the attack." in told
    assert told.endswith("1 is not compared: a number is missing.")
    assert caption(frame(small((0,)).build())).endswith("1 seed: no intervals.")


def labelled() -> pd.DataFrame:
    """Two recipes at two label fractions each, one at a single one, and the anchors."""
    names = {
        "Filtering (labels 0.1)": 0.1,
        "Filtering": 1.0,
        "MaxEnt (steps 3, labels 0.1) → UNDO (labels 0.1)": 0.1,
        "MaxEnt (steps 3) → UNDO": 1.0,
        "NPO": 1.0,
    }
    rows = [
        {"configuration": name, "method": "x", "label_fraction": share, "robust_forget_quality": q}
        for q, (name, share) in enumerate(names.items())
    ]
    anchors = [
        {"configuration": n, "method": n, "label_fraction": 1.0, "robust_forget_quality": q}
        for q, n in enumerate(("base", "oracle"))
    ]
    return pd.DataFrame([*rows, *anchors])


def test_recipes_that_differ_in_their_labels_alone_are_one_line() -> None:
    found = series(labelled())
    assert list(found["series"]) == ["Filtering", "Filtering", "MaxEnt (steps 3) → UNDO", "MaxEnt (steps 3) → UNDO"]  # fmt: skip
    assert list(found["label_fraction"]) == [0.1, 1.0, 0.1, 1.0]
    assert series(labelled()[4:]).empty


def test_the_labels_chart_compiles_and_draws_its_rows() -> None:
    told = labels_chart(labelled()).to_dict()
    assert vl_convert.vegalite_to_svg(told).count("Filtering") > 0


def test_points_are_named_by_what_tells_them_apart() -> None:
    labels = [
        "Base",
        "MaxEnt (batch_size 16)",
        "MaxEnt (batch_size 16) → UNDO (α 0.5, steps 800)",
        "MaxEnt (batch_size 16) → UNDO (α 0.9, steps 800)",
        "MaxEnt + SAM (ρ 0.1) (batch_size 16)",
        "NPO",
        "NPO (lr 0.1)",
    ]
    short = told_apart(labels)
    assert list(short) == labels and len(set(short.values())) == len(labels)
    assert list(short.values()) == ["Base", "MaxEnt", "MaxEnt → UNDO (α 0.5)", "MaxEnt → UNDO (α 0.9)", "MaxEnt + SAM (ρ 0.1)", "NPO", "NPO (lr 0.1)"]  # fmt: skip


def test_a_drag_in_one_panel_is_known_in_all(rows: pd.DataFrame) -> None:
    names = ["robust_forget_quality", "utility", "compute"]
    told = panels_chart(rows, names, ["MaxEnt"]).to_dict()
    views = {layer.get("name") for panel in told["hconcat"] for layer in panel["layer"]}
    (box,) = told["params"]
    assert len(box["views"]) == 3 and set(box["views"]) <= views
    labels = re.findall(r'aria-label="([^"]*)"', vl_convert.vegalite_to_svg(told))
    assert labels.count("MaxEnt → Distillation") == 3
