"""What a sceptic asks: does an attack teach rather than elicit, and what do imitators of the oracle hold?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from backend.evidence import Evidence


def placebo(evidence: Evidence, budget: int | None) -> dict[str, dict[str, Any]]:
    """Each attack on the base's placebo: raw score, items, the commonest answer's share, and whether it *teaches*.

    An attack teaches when its score lies more than two standard errors above that share; one that has k tries at every
    question is compared with the k commonest answers, which k guesses reach without knowing anything. Attacks with a
    score of their own, those without complete placebo cells, and settings without a placebo part are absent.
    """
    document = evidence.document
    shares = document.get("placebo_commonest_of") or [document.get("placebo_commonest")]
    found: dict[str, dict[str, Any]] = {}
    for position, attack in enumerate(evidence.attacks):
        if attack.get("metric"):
            continue
        chosen = [
            evidence.strongest(evidence.base(seed), position, budget, None, "placebo")
            for seed in evidence.seeds
        ]
        scores = [best.score for best in chosen if best is not None]
        runs = [best.run for best in chosen if best is not None]
        if scores and shares[0] is not None:
            tries = _tries(evidence, runs)
            commonest = float(shares[min(tries, len(shares)) - 1])
            found[attack["name"]] = _judged(evidence, scores, runs, commonest) | {"tries": tries}
    return found


def _tries(evidence: Evidence, runs: Sequence[int]) -> int:
    """How many answers to a question the chosen cells had, of which one had to be right."""
    table = evidence.measurements
    mine = table[(table["metric"] == "tries") & table["run"].isin(runs)]
    return int(mine["value"].max()) if len(mine) else 1


def _judged(
    evidence: Evidence, scores: Sequence[float], runs: Sequence[int], commonest: float
) -> dict[str, Any]:
    table = evidence.measurements
    mine = table[(table["split"] == "placebo_score") & table["run"].isin(runs)]
    count = mine["items"].max() if len(mine) else None
    items = int(count) if count is not None and pd.notna(count) and count > 0 else 1
    score = float(np.mean(scores))
    # Seeds share the items, so the error over items does not shrink with their number.
    error = float(np.sqrt(max(score * (1 - score), 0.0) / items))
    return {
        "score": score,
        "values": list(scores),
        "commonest": commonest,
        "items": items,
        "standard_error": error,
        "teaches": bool(score > commonest + 2 * error),
    }


def oracle_matching(evidence: Evidence, budget: int | None) -> list[dict[str, Any]]:
    """Students of the oracle, one record a configuration and seed: how close they came, and what comes back.

    Keys: configuration, student, steps, seed, kl (None where it was not recorded), before, after (raw forget metric).
    """
    counted = [i for i, a in enumerate(evidence.attacks) if a["counts"] == "weights"]
    found = []
    for configuration in evidence.document["configurations"]:
        stage = (configuration["stages"] or [{"parameters": {}}])[-1]
        if stage["parameters"].get("teacher") != "oracle":
            continue
        for seed in evidence.seeds:
            model = evidence.model(configuration, seed)
            best = evidence.strongest(model, counted[0], budget) if counted else None
            found.append(
                {
                    "configuration": configuration["label"],
                    "student": stage["parameters"].get("student"),
                    "steps": None if model is None else evidence.rows[model].steps,
                    "seed": seed,
                    "kl": _agreement(evidence, model),
                    "before": evidence.value(model, evidence.forget, "forget_score"),
                    "after": None if best is None else best.score,
                }
            )
    return found


def _agreement(evidence: Evidence, model: int | None) -> float | None:
    """The last KL from the teacher: over all training questions if it was recorded so, else of the last batch."""
    table = evidence.measurements
    mine = table[(table["run"] == model) & (table["metric"] == "kl") & table["value"].notna()]
    for split in ("agreement", "retain_validation", "train"):
        rows = mine[mine["split"] == split]
        if len(rows):
            return float(rows.sort_values("step")["value"].iloc[-1])
    return None
