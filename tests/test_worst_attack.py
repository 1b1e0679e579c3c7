"""Which attack is a row's worst: whose it may be, what is left out, what an attack without steps counts as."""

import pytest

from tests.frames import Frames, pair, rows_of


def second_attack(made: Frames, name: str, counts: str, after: float, steps: bool = False) -> None:
    """Add an attack without steps that brings `after` out of the model, and nothing out of the others."""
    made.document["attacks"].append(
        {"name": name, "counts": counts, "has_steps": steps, "steps": 1, "grid": [{"bits": 4}]}
    )
    for model, score in ((1, 1.0), (2, 0.0), (3, after)):
        made.attack(model, {"bits": 4}, {1: (score, score)}, name)


@pytest.mark.parametrize(
    ("counts", "worst"),
    [("weights", "other"), ("access", "other"), ("policy", "relearn"), ("probe", "relearn")],
)
def test_the_worst_attack_is_among_those_of_who_holds_the_weights(counts: str, worst: str) -> None:
    made = pair()
    second_attack(made, "other", counts, 0.95)
    row = rows_of(made.build())["MaxEnt"]
    assert row["worst_attack"] == worst
    expected = 0.05 if worst == "other" else 1 - 0.4 / 0.9
    assert row["robust_forget_quality"]["mean"] == pytest.approx(expected)
    assert row["cells_total"] == 2


def test_attacks_without_steps_count_at_every_budget_from_one() -> None:
    made = pair()
    second_attack(made, "other", "access", 0.95)
    assert rows_of(made.build(budget=1))["MaxEnt"]["worst_attack"] == "other"
    assert rows_of(made.build(budget=0))["MaxEnt"]["worst_attack"] == "relearn"


def test_an_undefined_attack_is_listed_and_left_out() -> None:
    made = pair()
    second_attack(made, "other", "weights", 0.95)
    for row in made.measured:  # under the other attack the oracle knows it all
        if made.run_rows[row["run"] - 1]["name"] == "other":
            row["value"] = 1.0
    found = rows_of(made.build())["MaxEnt"]
    assert found["worst_attack"] == "relearn"
    assert any(reason.startswith("robust forget quality: other") for reason in found["reasons"])


@pytest.mark.parametrize(("score", "teaches"), [(0.5, True), (0.03, False)])
def test_an_attack_that_teaches_never_enters(score: float, teaches: bool) -> None:
    made = pair(placebo=True)
    waiting = rows_of(made.build())["MaxEnt"]
    assert waiting["robust_forget_quality"]["mean"] is None  # not before the placebo has judged
    assert any("placebo" in reason for reason in waiting["reasons"])
    cell = made.document["attacks"][0]["grid"][0]
    made.attack(1, cell, {0: (0.0, 0.0), 50: (score, score)}, target="placebo")
    document = made.build()
    assert document["placebo"]["relearn"]["teaches"] is teaches
    assert document["placebo"]["relearn"]["score"] == score
    known = rows_of(document)["MaxEnt"]["robust_forget_quality"]["mean"] is not None
    assert known is not teaches
