"""A study of many methods: the legend names those on the front and those that are chosen; the rest is grey."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backend import exports
from backend.charts.families import GREY, MOST, families, order_of
from backend.charts.frontier import coloured, frontier_chart
from backend.charts.panels import coloured as coloured_in_panels
from backend.charts.panels import panels_chart
from backend.charts.presets import PRESETS
from backend.charts.printing import printed
from backend.charts.robustness import compute_chart, compute_families
from backend.charts.scene import Scene, scene
from backend.charts.theme import SHAPES
from backend.frontier import frame
from tests.frames import small

THREE = ["robust_forget_quality", "utility", "compute"]
QUARTER = 0.25


def many(count: int = 28, kept: int = 4) -> pd.DataFrame:
    """Base, oracle and `count` methods of one configuration each, of which the last `kept` are on the front; invented."""
    rows = frame(small((0, 1)).build())
    row = rows[rows["configuration"] == "MaxEnt"].iloc[0]
    generator = np.random.default_rng(1)
    made = []
    for k in range(count):
        good = k >= count - kept
        # On the front: each further up and to the left than the one before; the rest lies behind all of them.
        robust = (
            0.6 + 0.3 * (k - count + kept) / max(kept, 1) if good else generator.uniform(0, 0.5)
        )
        utility = 0.99 - robust / 10 if good else generator.uniform(0.7, 0.85)
        ends = {f"{name}{end}": value + shift for name, value in (("robust_forget_quality", robust), ("utility", utility)) for end, shift in (("", 0.0), ("_low", -0.02), ("_high", 0.02))}  # fmt: skip
        made.append({**row, **ends, "configuration": f"Method {k} (best of 6)", "method": f"m{k}", "compute": 0.1,
                     "on_front": good, "hypervolume_contribution": float(k) if good else 0.0})  # fmt: skip
    anchors = rows[rows["method"].isin(["base", "oracle"])]
    return pd.concat([anchors, pd.DataFrame(made)], ignore_index=True)


def scale_of(chart: Any, channel: str) -> dict[str, str]:
    """The first legend's entries with their colours or shapes."""
    text = json.loads(json.dumps(chart.to_dict()))
    units: list[Any] = [text]
    while units:
        one = units.pop(0)
        units += [*one.get("hconcat", []), *one.get("layer", [])]
        given = one.get("encoding", {}).get(channel, {})
        if given.get("field") == "family" and given.get("legend"):
            return dict(zip(given["scale"]["domain"], given["scale"]["range"], strict=True))
    raise AssertionError(f"no legend of {channel}")


def drawn_rows(chart: Any) -> pd.DataFrame:
    return pd.DataFrame(max(chart.to_dict()["datasets"].values(), key=len))


def test_a_few_methods_are_all_named_and_nothing_is_grey() -> None:
    few = many(MOST)
    told = coloured(few)
    assert list(told.named) == [f"Method {k}" for k in range(MOST)]
    assert not told.rest and told.told() == ""
    assert GREY not in scale_of(frontier_chart(few), "color").values()


@pytest.mark.parametrize("count", [13, 28, 45])
def test_of_many_those_on_the_front_are_named_and_the_rest_is_one_entry(count: int) -> None:
    rows = many(count)
    found = scale_of(frontier_chart(rows), "color")
    kept = [f"Method {k}" for k in range(count - 4, count)]
    assert list(found) == [*kept, f"{count - 4} others"]
    assert found.pop(f"{count - 4} others") == GREY
    assert len(set(found.values())) == 4 and GREY not in found.values()
    drawn = drawn_rows(frontier_chart(rows))
    grey = drawn[drawn["family"] == f"{count - 4} others"]
    # The tooltip still says which configuration a grey point is.
    assert set(grey["configuration"]) == {f"Method {k} (best of 6)" for k in range(count - 4)}


def test_what_is_chosen_gets_a_colour_and_nobody_else_changes_theirs() -> None:
    rows = many()
    before = scale_of(frontier_chart(rows), "color")
    after = scale_of(frontier_chart(rows, selected=["Method 2 (best of 6)"]), "color")
    assert set(after) - set(before) == {"Method 2", "23 others"}
    assert all(after[name] == colour for name, colour in before.items() if name in after)
    assert drawn_rows(frontier_chart(rows, selected=["Method 2 (best of 6)"]))["family"].iloc[-1] == "Method 2"  # fmt: skip


def test_every_picture_of_a_study_gives_a_method_the_same_sign() -> None:
    rows = many()
    charts = (frontier_chart(rows), panels_chart(rows, THREE), compute_chart(rows))
    for channel in ("color", "shape"):
        told = [scale_of(chart, channel) for chart in charts]
        common = set.intersection(*map(set, told))
        assert len(common) >= 4
        assert all(len({one[name] for one in told}) == 1 for name in common)


def test_a_narrower_view_keeps_the_colours_of_the_study() -> None:
    rows = many()
    kept = rows[rows["configuration"].isin(["Method 25 (best of 6)", "Method 3 (best of 6)"])]
    whole = scale_of(compute_chart(rows), "color")
    narrow = scale_of(compute_chart(kept, order=order_of(rows)), "color")
    assert list(narrow) == ["Method 25", "Method 3"]
    assert narrow["Method 25"] == whole["Method 25"]


def test_circles_are_the_greys_alone_and_no_two_named_methods_share_colour_and_shape() -> None:
    rows = many(48, kept=48)
    order = order_of(rows)
    names = [f"Method {k}" for k in range(48)]
    signs = set()
    for start in range(0, 48, MOST):
        first = [f"{name} (best of 6)" for name in names[start : start + MOST]]
        told = families(rows, rows["configuration"], first, (), order)
        colours, shapes = (scale.to_dict() for scale in (told.colours(), told.shapes()))
        assert shapes["range"][-1] == SHAPES[0] and SHAPES[0] not in shapes["range"][:-1]
        signs |= set(zip(colours["range"][:-1], shapes["range"][:-1], strict=True))
    assert len(signs) == 48


def test_more_on_the_front_than_a_legend_holds() -> None:
    rows = many(40, kept=20)
    told = coloured(rows)
    # Those that add most to the front come first.
    assert set(told.named) == {f"Method {k}" for k in range(28, 40)}
    turned = coloured(rows.assign(hypervolume_contribution=-rows["hypervolume_contribution"]))
    assert set(turned.named) == {f"Method {k}" for k in range(20, 32)}
    assert told.told().startswith(f"In colour: {MOST} of the 20 methods with a configuration")
    assert "In grey: the 28 others; the table names them." in told.told()


def test_words_are_true_where_nobody_is_on_the_front() -> None:
    rows = many(20, kept=0).assign(on_front=None, complete=False)
    told = coloured(rows)
    assert len(told.named) == MOST
    assert told.told() == "In colour: the first 12 of 20 methods. In grey: the 8 others; the table names them."  # fmt: skip
    assert coloured(many(13, kept=12)).told("the tooltip").endswith("In grey: the 1 other; the tooltip names it.")  # fmt: skip


def legend_share(drawn: Scene, width: float, height: float) -> float:
    """The share of a page under what belongs to legends, the space between their entries included."""
    mine = [thing.box for thing in drawn.things if thing.role.startswith("legend")]
    across = max(box.right for box in mine) - min(box.left for box in mine)
    along = max(box.bottom for box in mine) - min(box.top for box in mine)
    return across * along / (width * height)


@pytest.mark.parametrize("name", ["frontier", "panels", "compute"])
def test_in_two_columns_the_legend_takes_no_more_than_a_quarter(name: str) -> None:
    rows = many(28, kept=11)
    chart = {"frontier": frontier_chart(rows), "panels": panels_chart(rows, THREE), "compute": compute_chart(rows)}[name]  # fmt: skip
    figure = printed(chart, PRESETS["two columns"])
    assert 0 < legend_share(scene(figure.specification), figure.width, figure.height) <= QUARTER


def test_captions_of_pictures_say_what_is_grey() -> None:
    rows = many()
    assert coloured(rows).told() == "In colour: the 4 methods with a configuration that is chosen or non-dominated. In grey: the 24 others; the table names them."  # fmt: skip
    assert compute_families(rows).rest == 24
    assert coloured_in_panels(rows, THREE).rest == 24
    figure = exports.figure(frontier_chart(rows), greys=True).specification
    assert "24 others" in json.dumps(figure)
