"""The front's statistics against brute force: contributions by leaving out, probabilities by enumeration."""

import itertools
from typing import Any

import numpy as np
import pytest

from backend.front import OBJECTIVES, RESAMPLES, hypervolume, mark_front


def row(*seeds: tuple[float, float, float], method: str = "x") -> dict[str, Any]:
    """A configuration with (robust forget quality, utility, compute) for each seed."""
    found: dict[str, Any] = {"method": method}
    for name, values in zip(OBJECTIVES, zip(*seeds, strict=True), strict=True):
        found[name] = {"mean": float(np.mean(values)), "values": list(values)}
    return found


def drawn(count: int, seeds: int, stream: int = 0) -> list[dict[str, Any]]:
    numbers = np.random.default_rng(stream).random((count, seeds, 3)) * [1, 1, 1.2]
    return [row(*map(tuple, one)) for one in numbers]


def test_a_contribution_is_what_the_volume_loses_without_the_row() -> None:
    rows = [*drawn(7, 1), row((0.2, 0.2, 0.9)), row((0.1, 0.1, 1.0))]
    rows.append(dict(rows[0]))  # twins add nothing
    mark_front(rows)
    whole = hypervolume(rows)
    assert whole is not None
    for position, one in enumerate(rows):
        without = hypervolume(rows[:position] + rows[position + 1 :])
        expected = whole - (without or 0.0) if one["on_front"] else 0.0
        assert one["hypervolume_contribution"] == pytest.approx(expected, abs=1e-12)


def test_a_probability_is_that_of_all_resamples() -> None:
    rows = drawn(5, 2, stream=4)
    mark_front(rows)
    values = np.array([[one[name]["values"] for name in OBJECTIVES] for one in rows])
    values *= np.array([-1, -1, 1])[:, None]
    shares = np.zeros(len(rows))
    for chosen in itertools.product(range(2), repeat=2):
        means = values[:, :, list(chosen)].mean(axis=2)
        for position, mean in enumerate(means):
            beaten = ((means <= mean).all(1) & (means < mean).any(1)).any()
            shares[position] += 0.25 * (not beaten)
    assert ((shares > 0) & (shares < 1)).any(), "a case in which nothing is unsure shows little"
    told = np.array([one["front_probability"] for one in rows])
    assert np.abs(told - shares).max() < 4 * np.sqrt(0.25 / RESAMPLES)


def test_what_is_dominated_in_every_seed_is_never_on_the_front() -> None:
    good, bad = row((0.9, 0.9, 0.1), (0.8, 0.9, 0.2)), row((0.5, 0.5, 0.5), (0.4, 0.8, 0.3))
    oracle = row((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), method="oracle")
    mark_front(rows := [good, bad, oracle])
    assert [one.get("front_probability") for one in rows] == [1.0, 0.0, None]


def test_one_seed_or_a_missing_one_gives_no_probability() -> None:
    mark_front(rows := drawn(3, 1))
    assert {one["front_probability"] for one in rows} == {None}
    rows = drawn(3, 3)
    rows[1]["utility"]["values"][0] = None
    mark_front(rows)
    assert {one["front_probability"] for one in rows} == {None}
    assert all(isinstance(one["on_front"], bool) for one in rows)
