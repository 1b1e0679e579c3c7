"""Gates hold, fail or are unknown: never anything in between, and what is unknown never holds."""

from typing import Any

import pytest

from backend import gates
from backend.gates import FAILS, HOLDS, UNKNOWN
from backend.stage import UserError


def summary(*values: float | None, half: float | None = None) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    mean = sum(known) / len(known) if known and len(known) == len(values) else None
    wide = mean is not None and half is not None
    return {
        "mean": mean,
        "low": mean - half if wide else None,
        "high": mean + half if wide else None,
        "values": list(values),
    }


def raw(attack: str, seed: int, recovery: float | None) -> dict[str, Any]:
    told = {"seed": seed, "attack": attack, "recovery": recovery, "items": 10}
    numbers = dict.fromkeys(("base", "oracle_before", "before", "after", "oracle_after"), 0.5)
    return told | numbers | {"cell": {"run": 40 + seed, "step": 30, "parameters": {}}}


def row(name: str, method: str = "undo", **changed: Any) -> dict[str, Any]:
    found = {
        "configuration": name,
        "method": method,
        "utility": summary(0.98, 0.96, half=0.02),
        "claimed_forget_quality": summary(1.0, 1.0, half=0.0),
        "robust_forget_quality": summary(0.85, 0.75, half=0.1),
        "compute": summary(0.3, 0.3, half=0.0),
        "metrics": {"forget_loss": summary(2.0, 4.0, half=0.5)},
        "attacks": {
            "relearn": summary(0.15, 0.25, half=0.1) | cells(8, 8) | {"reason": None},
            "probe": summary(0.6, 0.8, half=0.1) | cells(2, 2) | {"reason": None},
        },
        "raw": [raw("relearn", 0, 0.15), raw("relearn", 1, 0.25), raw("other", 0, 0.0)],
        "models": [3, 4],
        "worst_attack": "relearn",
        "weak_evidence": [],
        "reasons": [],
    }
    return found | changed


def cells(done: int, total: int) -> dict[str, int]:
    return {"cells_done": done, "cells_total": total}


def document(*rows: dict[str, Any], budget: int = 60) -> dict[str, Any]:
    return {
        "study": "quick",
        "budget": budget,
        "rows": [row("Base", "base"), row("Oracle", "oracle"), *rows],
        "attacks": [{"name": "relearn", "steps": 60}, {"name": "probe", "steps": 0}],
        "placebo": {},
    }


def states(asked: dict[str, Any], found: dict[str, Any], interval: bool = False) -> list[str]:
    wanted = gates.gate(asked)
    told = gates.evaluate([wanted], {None: found, wanted.budget: found}, with_interval=interval)
    return [one["state"] for one in told]


@pytest.mark.parametrize(
    ("asked", "just", "beyond"),
    [
        ({"kind": "utility_drop"}, 0.03, 0.029),
        ({"kind": "recovery"}, 0.2, 0.19),
        ({"kind": "recovery", "attack": "relearn"}, 0.2, 0.19),
        ({"kind": "recovery", "attack": "probe"}, 0.7, 0.69),
        ({"kind": "robust_forget_quality"}, 0.8, 0.81),
        ({"kind": "claimed_forget_quality"}, 1.0, 1.01),
        ({"kind": "compute"}, 0.3, 0.29),
        ({"kind": "metric", "metric": "forget_loss", "side": "most"}, 3.0, 2.9),
        ({"kind": "metric", "metric": "forget_loss", "side": "least"}, 3.0, 3.1),
    ],
)
def test_a_limit_holds_up_to_itself_and_no_further(
    asked: dict[str, Any], just: float, beyond: float
) -> None:
    found = document(row("UNDO"))
    assert states(asked | {"limit": just}, found) == [HOLDS]
    assert states(asked | {"limit": beyond}, found) == [FAILS]


def test_with_the_interval_its_worse_end_must_hold() -> None:
    found = document(row("UNDO"))
    drop = {"kind": "utility_drop"}  # 0.03 ± 0.02
    assert states(drop | {"limit": 0.05}, found, interval=True) == [HOLDS]
    assert states(drop | {"limit": 0.049}, found, interval=True) == [FAILS]
    quality = {"kind": "robust_forget_quality"}  # 0.8 ± 0.1
    assert states(quality | {"limit": 0.7}, found, interval=True) == [HOLDS]
    assert states(quality | {"limit": 0.71}, found, interval=True) == [FAILS]
    [told] = gates.evaluate(
        [gates.gate(quality | {"limit": 0.71})], {None: found}, with_interval=True
    )
    assert "worse end" in told["reason"] and told["mean"] == pytest.approx(0.8)


def test_recovery_turns_the_interval_round() -> None:
    found = document(row("UNDO", robust_forget_quality={**summary(0.8), "low": 0.7, "high": 0.85}))
    [told] = gates.evaluate([gates.gate({"kind": "recovery", "limit": 0.2})], {None: found})
    assert (told["mean"], told["low"], told["high"]) == pytest.approx((0.2, 0.15, 0.3))


def test_one_seed_has_no_interval_to_hold_but_can_fail() -> None:
    found = document(row("UNDO", utility=summary(0.97)))
    assert states({"kind": "utility_drop", "limit": 0.05}, found) == [HOLDS]
    assert states({"kind": "utility_drop", "limit": 0.05}, found, interval=True) == [UNKNOWN]
    assert states({"kind": "utility_drop", "limit": 0.01}, found, interval=True) == [FAILS]


UNKNOWNS = {
    "n/a for a seed": (
        {"kind": "robust_forget_quality", "limit": 0},
        {"robust_forget_quality": summary(1.0, None), "reasons": ["robust forget quality: n/a"]},
    ),
    "n/a under the attack": (
        {"kind": "recovery", "attack": "relearn", "limit": 9},
        {"attacks": {"relearn": summary(0.1, None) | cells(8, 8) | {"reason": "seed 1: n/a"}}},
    ),
    "its own cells": (
        {"kind": "recovery", "attack": "relearn", "limit": 9},
        {"attacks": {"relearn": summary(0.1, 0.1) | cells(7, 8) | {"reason": None}}},
    ),
    "worst attack with cells missing": (
        {"kind": "recovery", "limit": 9},
        {
            "robust_forget_quality": summary(None, None),
            "reasons": ["robust forget quality: 2 attack cells of this model are missing"],
        },
    ),
    "no such number here": ({"kind": "metric", "metric": "nothing", "limit": 9}, {}),
    "compute unknown": ({"kind": "compute", "limit": 9}, {"compute": summary(None)}),
    "attack does not count yet": (
        {"kind": "recovery", "attack": "relearn", "limit": 9},
        {"attacks": {}},
    ),
}


@pytest.mark.parametrize("case", UNKNOWNS)
def test_what_is_unknown_never_holds_and_says_why(case: str) -> None:
    asked, changed = UNKNOWNS[case]
    found = document(row("UNDO", **changed))
    [told] = gates.evaluate([gates.gate(asked)], {None: found})
    assert told["state"] == UNKNOWN
    assert told["reason"]
    assert gates.verdict([told]) == UNKNOWN


def test_an_oracle_with_missing_cells_leaves_every_recovery_unknown() -> None:
    found = document(row("UNDO"))
    found["rows"][1]["attacks"]["relearn"] |= cells(6, 8)
    [told] = gates.evaluate(
        [gates.gate({"kind": "recovery", "attack": "relearn", "limit": 9})], {None: found}
    )
    assert told["state"] == UNKNOWN
    assert told["reason"] == "2 attack cells of the oracle missing"


def test_the_budgets_document_is_the_one_that_counts() -> None:
    early = document(row("UNDO", robust_forget_quality=summary(0.99, 0.99)), budget=20)
    documents = {None: document(row("UNDO")), 25: early}
    asked = [
        gates.gate({"kind": "recovery", "limit": 0.05, "budget": budget}) for budget in (25, None)
    ]
    assert gates.budgets(asked) == [None, 25]
    told = {one["gate"]: one for one in gates.evaluate(asked, documents)}
    assert told["Recovery at most 0.05 under the worst attack at 25 steps"]["state"] == HOLDS
    assert told["Recovery at most 0.05 under the worst attack at 25 steps"]["budget"] == 20
    assert told["Recovery at most 0.05 under the worst attack"]["state"] == FAILS


def test_failing_configurations_come_first_then_unknown_ones_then_those_that_hold() -> None:
    good = row("Good")
    open_one = row("Open", compute=summary(None))
    bad = row("Bad", utility=summary(0.5, 0.5, half=0.1))
    asked = [
        gates.gate({"kind": "compute", "limit": 1}),
        gates.gate({"kind": "utility_drop", "limit": 0.05}),
    ]
    told = gates.evaluate(asked, {None: document(good, open_one, bad)})
    assert [one["configuration"] for one in told] == ["Bad", "Bad", "Open", "Open", "Good", "Good"]
    assert [one["state"] for one in told] == [FAILS, HOLDS, UNKNOWN, HOLDS, HOLDS, HOLDS]
    by_name = {n: [o for o in told if o["configuration"] == n] for n in ("Bad", "Open", "Good")}
    assert [gates.verdict(mine) for mine in by_name.values()] == [FAILS, UNKNOWN, HOLDS]
    assert gates.verdict([]) == UNKNOWN


def test_base_and_oracle_are_asked_only_by_name_and_what_is_gone_is_unknown() -> None:
    found, asked = document(row("UNDO")), [gates.gate({"kind": "compute", "limit": 1})]
    assert {one["configuration"] for one in gates.evaluate(asked, {None: found})} == {"UNDO"}
    named = gates.evaluate(asked, {None: found}, names=["Base", "nobody"])
    assert {one["configuration"]: one["state"] for one in named} == {
        "Base": HOLDS,
        "nobody": UNKNOWN,
    }


def test_the_evidence_is_the_raw_numbers_of_the_attack_that_was_asked_for() -> None:
    [told] = gates.evaluate(
        [gates.gate({"kind": "recovery", "attack": "relearn", "limit": 1})],
        {None: document(row("UNDO"))},
    )
    found = told["evidence"]
    assert [one["seed"] for one in found["raw"]] == [0, 1]
    assert {one["attack"] for one in found["raw"]} == {"relearn"}
    assert found["raw"][1]["cell"]["run"] == 41 and found["models"] == [3, 4]
    assert found["cells"] == "8 of 8" and told["values"] == [0.15, 0.25]


def test_an_attack_that_teaches_is_said_to() -> None:
    found = document(row("UNDO")) | {"placebo": {"relearn": {"teaches": True}}}
    [told] = gates.evaluate(
        [gates.gate({"kind": "recovery", "attack": "relearn", "limit": 1})], {None: found}
    )
    assert told["weak"] == ["relearn teaches rather than elicits"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"kind": "beauty", "limit": 1}, "no kind of gate"),
        ({"kind": "compute", "limit": float("nan")}, "not a number"),
        ({"kind": "compute", "limit": "1"}, "not a number"),
        ({"kind": "compute", "limit": True}, "not a number"),
        ({"kind": "recovery", "limit": 1, "attack": "tickle"}, "no attack 'tickle'; it has: relearn"),
        ({"kind": "recovery", "limit": 1, "budget": 61}, "between 0 and 60"),
        ({"kind": "metric", "limit": 1, "metric": "x"}, "no metric 'x'; it has: forget_loss"),
        ({"kind": "metric", "limit": 1, "metric": "forget_loss", "side": "about"}, "not at 'about'"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_a_sentence(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        gates.gate(asked, document(row("UNDO")))


def test_a_gate_is_stored_and_read_back() -> None:
    for asked in (
        {"kind": "recovery", "limit": 0.2, "attack": "relearn", "budget": 20},
        {"kind": "metric", "limit": 3.0, "side": "least", "metric": "forget_loss"},
    ):
        found = gates.gate(asked)
        assert gates.gate(gates.stored(found)) == found
    assert gates.gate({"kind": "robust_forget_quality", "limit": 1, "side": "most"}).side == "least"
