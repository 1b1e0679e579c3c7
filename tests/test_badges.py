"""Badges: against whom a recipe holds, and which data it takes."""

import pytest

from backend import badges, catalogue


@pytest.mark.parametrize(
    "names, expected",
    [
        (["max_ent", "undo"], []),
        (["grad_ascent"], ["forget data only"]),
        (["grad_ascent", "repair"], ["forget and unlabelled data"]),
        (["retain_finetune"], ["retain data only"]),
        (["weight_mixture"], ["no data"]),
        (["o3"], ["black-box only", "forget data only"]),
        (["max_ent", "uld"], ["black-box only"]),
        (["somebody_elses"], []),
        ([], []),
    ],
)
def test_a_recipes_badges_are_those_in_which_it_differs(
    names: list[str], expected: list[str]
) -> None:
    assert badges.of_recipe([{"name": name} for name in names]) == expected


def test_every_method_has_two() -> None:
    for part in catalogue.parts("methods"):
        model, data = badges.of_method(part.declared)
        assert model in ("white-box", "black-box only")
        assert data.endswith(("data", "data only"))
