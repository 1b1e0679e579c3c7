"""Attainment bands and volumes against brute force."""

import itertools

import numpy as np
import pytest

from backend.charts.attainment import bands
from backend.charts.volumes import volumes_chart, volumes_frame
from backend.front import OBJECTIVES, hypervolume, method_volumes
from tests.test_front import drawn, row

X, Y = "utility", "robust_forget_quality"
EDGES = ((-0.1, 1.3), (-0.1, 1.3))


def named(rows, family="UNDO"):
    more = {"metrics": {}, "pair_metrics": {}}
    return [{**one, **more, "configuration": f"MaxEnt → {family} (α {i})"} for i, one in enumerate(rows)]  # fmt: skip


@pytest.mark.parametrize(("x", "y"), [(X, Y), ("compute", Y), (X, "compute")])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_a_band_is_what_all_and_what_one_seed_attain(x, y, seeds):
    rows = named(drawn(6, seeds, stream=seeds))
    found = bands(rows, x, y, *EDGES)
    signs = [-1 if name == "compute" else 1 for name in (x, y)]
    values = np.array(
        [[one[name]["values"] for name in (x, y)] for one in rows]
    )  # (rows, 2, seeds)
    for _, here in found.iterrows():
        reach = []  # the best height that each seed attains at this place
        for seed in range(seeds):
            there = [
                v[1, seed] for v in values if signs[0] * v[0, seed] >= signs[0] * here[x] - 1e-12
            ]
            edge = EDGES[1][0] if signs[1] > 0 else EDGES[1][1]
            reach.append(max([*there, edge], key=lambda value: signs[1] * value))
        ordered = sorted(reach, key=lambda value: -signs[1] * value)
        assert here["high"] == pytest.approx(ordered[0])
        assert here["low"] == pytest.approx(ordered[-1])
        assert here["median"] == pytest.approx(ordered[int(np.ceil(seeds / 2)) - 1])


def test_there_is_no_band_of_one_seed_one_configuration_or_no_better_end():
    assert bands(named(drawn(4, 1)), X, Y, *EDGES).empty
    assert bands(named(drawn(1, 3)), X, Y, *EDGES).empty
    rows = [{**one, "metrics": {"mia_loss": one[X]}} for one in named(drawn(4, 3))]
    assert bands(rows, "mia_loss", Y, *EDGES).empty
    rows[0][X]["values"][1] = None
    assert set(bands(rows, X, Y, *EDGES)["family"]) == {"UNDO"}


def by_cells(points: np.ndarray, reference: np.ndarray) -> float:
    """The volume that the points (smaller is better) dominate, cell by cell of the grid that they span."""
    edges = [np.unique([*points[:, axis], reference[axis]]) for axis in range(3)]
    total = 0.0
    for low in itertools.product(*(edge[:-1] for edge in edges)):
        highs = [edge[np.searchsorted(edge, at) + 1] for edge, at in zip(edges, low, strict=True)]
        inside = (points <= np.array(low)).all(1).any() and (np.array(highs) <= reference).all()
        total += float(np.prod(np.array(highs) - low)) if inside else 0.0
    return total


def test_a_volume_is_that_of_its_cells():
    rows = drawn(7, 2, stream=3)
    signs = np.array([-1, -1, 1])
    means = np.array([[one[name]["mean"] for name in OBJECTIVES] for one in rows])
    assert hypervolume(rows) == pytest.approx(by_cells(means * signs, np.array([0, 0, 1])))
    found = method_volumes({"A": rows[:4], "B": rows[4:]})
    for one in found:
        mine = rows[:4] if one["method"] == "A" else rows[4:]
        for seed, value in enumerate(one["values"]):
            points = np.array([[r[name]["values"][seed] for name in OBJECTIVES] for r in mine])
            assert value == pytest.approx(by_cells(points * signs, np.array([0, 0, 1])))
    assert [one["mean"] for one in found] == sorted((one["mean"] for one in found), reverse=True)


def test_who_lacks_a_number_is_left_out_and_counted():
    rows = [row((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), row((0.9, 0.9, 0.1), (0.9, 0.9, 0.1))]
    rows[1]["compute"]["values"][0] = None
    one = method_volumes({"A": rows})[0]
    assert (one["configurations"], one["left_out"]) == (1, 1)
    assert one["values"] == pytest.approx([0.125, 0.125])
    assert method_volumes({"A": rows[1:]}) == []
    shown = volumes_frame([one])
    assert shown["hypervolume"].tolist() == pytest.approx([0.125])
    assert "Hypervolume" in str(volumes_chart(shown).to_dict())
