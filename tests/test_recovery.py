"""The definitions, number by number, against brute force."""

import numpy as np
import pytest

from backend.recovery import (
    Curves,
    Scale,
    Strongest,
    envelope,
    recovery,
    strongest,
    undefined_because,
    utility,
)

ACCURACY = Scale(1.0, 0.0)
LOSS = Scale(-1.0, -4.0)


def curves(rows: list[tuple[int, int, float, float]]) -> Curves:
    """Curves of (cell, step, validation, score); a cell's run is 100 + its position."""
    cell, step, validation, score = (np.array(column) for column in zip(*rows, strict=True))
    return Curves(cell, 100 + cell, step, validation, score).in_order()


def brute_force(
    rows: list[tuple[int, int, float, float]], scale: Scale, budget: int
) -> tuple[int, int, float]:
    """(cell, step, score) of the attacker's choice, by looking at everything."""
    best = None
    for step in sorted({row[1] for row in rows}):
        for cell in sorted({row[0] for row in rows}):
            for row in rows:
                here = row[:2] == (cell, step) and step <= budget
                if here and (best is None or scale.sign * row[2] > scale.sign * best[2]):
                    best = row
    assert best is not None
    return best[0], best[1], best[3]


@pytest.mark.parametrize("scale", [ACCURACY, LOSS])
def test_the_attacker_chooses_on_validation_and_is_read_on_score(scale: Scale) -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        values = generator.integers(0, 6, size=(4, 5, 2)) / 5  # few values, so ties are common
        rows = [
            (c, 10 * s, float(values[c, s, 0]), float(values[c, s, 1]))
            for c in range(4)
            for s in range(5)
        ]
        for budget in (0, 10, 25, 40):
            found = strongest(curves(rows), scale, budget)
            assert found is not None
            expected = brute_force(rows, scale, budget)
            assert (found.run - 100, found.step, found.score) == expected
            scores = [scale.sign * row[3] for row in rows if row[1] <= budget]
            assert scale.sign * found.upper_bound == max(scores)


def test_ties_go_to_the_earliest_step_then_to_the_first_cell() -> None:
    rows = [(0, 0, 0.1, 0.1), (0, 20, 0.9, 0.3), (1, 10, 0.9, 0.5), (2, 10, 0.9, 0.7)]
    assert strongest(curves(rows), ACCURACY) == Strongest(0.5, 0.9, 10, 101, 0.7)


def test_the_envelope_is_the_choice_at_every_step() -> None:
    generator = np.random.default_rng(1)
    rows = [
        (c, s, float(generator.integers(0, 4)), float(generator.random()))
        for c in range(3)
        for s in (0, 5, 7, 20)
    ]
    for scale in (ACCURACY, LOSS):
        found = envelope(curves(rows), scale)
        assert list(found.step) == [0, 5, 7, 20]
        expected = [strongest(curves(rows), scale, step) for step in (0, 5, 7, 20)]
        assert list(found.score) == [best.score for best in expected if best]
        assert list(found.run) == [best.run for best in expected if best]


def test_nothing_measured_is_nothing_chosen() -> None:
    assert strongest(curves([(0, 10, 0.5, 0.5)]), ACCURACY, 5) is None


def test_recovery_is_zero_at_the_oracle_and_one_at_the_base_and_is_not_clipped() -> None:
    assert recovery(0.2, 0.2, 1.0, ACCURACY) == 0
    assert recovery(1.0, 0.2, 1.0, ACCURACY) == 1
    assert recovery(0.1, 0.2, 1.0, ACCURACY) == pytest.approx(-0.125)


def test_a_loss_worse_than_the_unigrams_knows_nothing() -> None:
    assert recovery(9.0, 3.0, 1.0, LOSS) == recovery(4.0, 3.0, 1.0, LOSS) == pytest.approx(-0.5)
    assert recovery(2.0, 7.0, 1.0, LOSS) == pytest.approx(2 / 3)


def test_a_recovery_says_nothing_where_base_and_oracle_meet() -> None:
    assert undefined_because(0.5, 1.0, ACCURACY, 0.1) is None
    assert undefined_because(0.5, 1.0, ACCURACY, None) is None
    assert "below 5%" in str(undefined_because(0.96, 1.0, ACCURACY, None))
    assert "twice the standard error" in str(undefined_because(0.5, 1.0, ACCURACY, 0.26))
    assert "n/a" in str(undefined_because(1.0, 0.9, ACCURACY, 0.0))
    assert "n/a" in str(undefined_because(9.0, 4.5, LOSS, None))  # both below the floor


def test_utility_falls_when_the_retain_loss_rises_and_is_not_clipped() -> None:
    assert utility(1.0, 1.0, LOSS) == 1
    assert utility(2.5, 1.0, LOSS) == pytest.approx(0.5)
    assert utility(5.5, 1.0, LOSS) == pytest.approx(-0.5)
    assert utility(0.5, 1.0, Scale(1.0, 0.25)) == pytest.approx(1 / 3)
    assert utility(0.5, 0.2, Scale(1.0, 0.25)) is None
