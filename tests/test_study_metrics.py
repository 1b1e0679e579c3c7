"""Metrics of a whole study: chains of requests, sizes of the forget set, and verdicts on items."""

from typing import Any

import numpy as np
import pytest

from tests.frames import ITEMS, Frames, accuracy, empty, relearning

ATTACK = relearning([1e-3], 100)
LENS = {"name": "logit_lens", "counts": "probe", "has_steps": False, "steps": 1, "grid": [{}], "metric": "lens_accuracy"}  # fmt: skip


def anchored(**more: Any) -> tuple[Frames, int, int]:
    made = empty((0,), [ATTACK, LENS], **more)
    made.document["metrics"]["lens_accuracy"] = accuracy()
    base, oracle = made.run("base", "base", flops=4e12), made.run("oracle", "oracle", flops=2e12)
    made.configuration("Base", (), {0: base})
    made.configuration("Oracle", (), {0: oracle})
    made.evaluate(base, 1.0, 1.0)
    made.evaluate(oracle, 0.0, 1.0)
    return made, base, oracle


def test_sustainability_follows_the_requests_of_a_recipe() -> None:
    made, base, _ = anchored()
    model = base
    for part, (forget, retain) in enumerate(((0.6, 0.9), (0.3, 0.7)), 1):
        model = made.run("suppress", "npo", 0, model, {"request": [part, 2]})
        made.evaluate(model, forget, retain)
    made.configuration("NPO", [("suppress", "npo", {"requests": 2})], {0: model})
    found = rows(made)["NPO"]["sustainability"]
    assert found["value"] == pytest.approx(-0.2)
    assert found["points"] == [
        {"request": 1, "utility": pytest.approx(0.9), "forget": pytest.approx(0.6)},
        {"request": 2, "utility": pytest.approx(0.7), "forget": pytest.approx(0.3)},
    ]
    assert "one request" in rows(made)["Base"]["sustainability"]["reason"]


def test_scalability_compares_studies_of_other_sizes() -> None:
    made, base, _ = anchored()
    made.document["setting"]["parameters"] = {"forget_size": 1.0}
    model = made.run("suppress", "npo", 0, base)
    made.evaluate(model, 0.0, 0.8)
    made.configuration("NPO", [("suppress", "npo", {})], {0: model})
    alone = rows(made)["NPO"]["scalability"]
    assert alone["value"] is None and "another forget_size" in alone["reason"]
    smaller = made.build()["rows"]
    smaller[2]["utility"]["mean"] = 0.95
    found = rows(made, siblings={0.1: smaller})["NPO"]["scalability"]
    assert found["value"] == pytest.approx(0.8 - 0.95)
    assert [point["size"] for point in found["points"]] == [0.1, 1.0]


def test_a_verdict_takes_two_witnesses_and_hears_none_who_says_the_same_of_the_oracle() -> None:
    made, base, oracle = anchored()
    model = made.run("suppress", "npo", 0, base)
    made.configuration("NPO", [("suppress", "npo", {})], {0: model})
    evaluation = made.evaluate(model, 0.0, 1.0)
    index = np.arange(ITEMS)
    made.items[evaluation, 0] = (index < 10).astype(np.float32)  # 10 items are answered openly
    sampled, read, back = {}, {}, {}
    for run, known, seen, relearnt in (
        (model, index < 60, index < 100, (index >= 20) & (index < 120)),
        (oracle, index < 0, index < 40, index < 0),
        (base, index >= 0, index >= 0, index >= 0),
    ):
        audit = made.run("evaluate", "audit", 0, run)
        sampled[audit, 0] = known.astype(np.float32) / 2  # half the tries at k = 1
        probe = made.attack(run, {}, {1: (1.0, 1.0)}, "logit_lens", metric="lens_accuracy")
        read[probe, 1] = seen.astype(np.float32)
        cell = made.attack(run, ATTACK["grid"][0], {100: (1.0, 1.0)})
        made.items[cell, 100] = relearnt.astype(np.float32)
        back[run] = relearnt
    found = rows(made, other_items={"pass_at_k": sampled, "lens_accuracy": read})
    shares = found["NPO"]["knowledge_verdict"]["shares"]
    votes = (index < 60) * 1 + ((index < 100) & ~(index < 40)) * 1 + back[model] * 1
    rest = index >= 10
    assert shares == {
        "shown": pytest.approx(10 / ITEMS),
        "present but suppressed": pytest.approx(np.sum(rest & (votes >= 2)) / ITEMS),
        "undecided": pytest.approx(np.sum(rest & (votes == 1)) / ITEMS),
        "absent": pytest.approx(np.sum(rest & (votes == 0)) / ITEMS),
    }
    assert found["NPO"]["knowledge_verdict"]["witnesses"] == ["sampling", "logit_lens", "relearn"]
    assert found["Base"]["knowledge_verdict"]["shares"]["shown"] == 1.0


def test_a_verdict_says_what_it_lacks() -> None:
    made, _, _ = anchored()
    found = rows(made)["Base"]["knowledge_verdict"]
    assert found["value"] is None and "it takes two of sampling" in found["reason"]


def rows(made: Frames, **options: Any) -> dict[str, dict[str, Any]]:
    return {row["configuration"]: row["study_metrics"] for row in made.build(**options)["rows"]}
