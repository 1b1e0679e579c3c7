"""From a study's rows to its frontier: the definitions of recovery, utility and compute, and who is dominated.

Pure pandas and numpy. Unknown numbers are None and never absent or zero.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import moocore
import numpy as np
import pandas as pd

from backend.evidence import COUNTED, Evidence
from backend.paper import paper_pair
from backend.recovery import Strongest, recovery, undefined_because, utility
from backend.stage import UserError
from backend.statistics import paired_error, summary
from backend.tables import frame, relearning_curves

__all__ = ["build", "frame", "hypervolume", "relearning_curves"]

OBJECTIVES = {"robust_forget_quality": "up", "utility": "up", "compute": "down"}
REFERENCE_POINT = {"robust_forget_quality": 0.0, "utility": 0.0, "compute": 1.0}
SMALL_GRID = 3


def build(
    document: Mapping[str, Any],
    runs: pd.DataFrame,
    inputs: pd.DataFrame,
    measurements: pd.DataFrame,
    items: Mapping[tuple[int, int], np.ndarray],
    *,
    revision: int = 1,
    budget: int | None = None,
) -> dict[str, Any]:
    """The frontier document: one row for each configuration, and what they are measured against.

    `budget` limits the attack steps; the last evaluated step up to it counts, None means the largest.

    Raises:
        UserError: the budget is below 0 or beyond the largest step of any attack
    """
    evidence = Evidence(document, runs, inputs, measurements, items)
    attacks = list(document["attacks"])
    largest = max((attack["steps"] for attack in attacks), default=0)
    if budget is not None and not 0 <= budget <= largest:
        raise UserError(
            f"budget = {budget} must be between 0 and {largest}, the attacks' largest step."
        )
    teaching = evidence.teaching(budget)
    started = any(row["state"] != "waiting" for row in evidence.rows.values())
    rows = (
        [_row(evidence, c, budget, teaching) for c in document["configurations"]] if started else []
    )
    _mark_front(rows)
    return {
        "study": document["name"],
        "revision": revision,
        "setting": document["setting"]["name"],
        "budget": largest if budget is None else budget,
        "attacks": [
            {"name": a["name"], "grid_size": len(a["grid"]), "steps": a["steps"]} for a in attacks
        ],
        "attack_grid_size": sum(len(a["grid"]) for a in attacks),
        "anchor": document["setting"].get("anchor", "oracle"),
        "reference": _reference(evidence, rows, budget),
        "placebo": teaching,
        "rows": rows,
    }


def _reference(
    evidence: Evidence, rows: Sequence[Mapping[str, Any]], budget: int | None
) -> dict[str, Any]:
    oracle = evidence.anchor("oracle")
    first = next((a for a in evidence.document["attacks"] if a["counts"] in COUNTED), None)
    after: list[float | None] = []
    for seed in evidence.document["seeds"] if first else []:
        model = evidence.model(oracle, seed)
        whole = evidence.whole(model, first) if first else False
        best = evidence.strongest(model, first["name"], budget) if first and whole else None
        after.append(best.score if best else None)
    return {
        "objectives": OBJECTIVES,
        "hypervolume_point": REFERENCE_POINT,
        "hypervolume": hypervolume(rows),
        "metric_forget": f"forget_{evidence.forget}",
        "metric_retain": f"retain_{evidence.retain}",
        "oracle_after_attack": summary(after),
    }


def _row(
    evidence: Evidence,
    configuration: Mapping[str, Any],
    budget: int | None,
    teaching: Mapping[str, Any],
) -> dict[str, Any]:
    seeds = list(evidence.document["seeds"])
    models = [evidence.model(configuration, seed) for seed in seeds]
    robust = _robust(evidence, configuration, budget, teaching, complete_only=True)
    so_far = _robust(evidence, configuration, budget, teaching, complete_only=False)
    claimed, claimed_reasons = _claimed(evidence, configuration)
    done, total = _cell_counts(evidence, models)
    origins = {evidence.rows[m]["origin"] for m in models if m is not None}
    row: dict[str, Any] = {
        "configuration": configuration["label"],
        "key": configuration["key"],
        "method": configuration["method"],
        "stages": configuration["stages"],
        "seeds": len(seeds),
        "utility": summary([_utility(evidence, m, s) for m, s in zip(models, seeds, strict=True)]),
        "claimed_forget_quality": summary(claimed),
        "robust_forget_quality": summary(robust["values"]),
        "compute": summary([_compute(evidence, m, s) for m, s in zip(models, seeds, strict=True)]),
        "flops": _mean([evidence.spent(m, "flops") for m in models]),
        "search_flops": 0.0,
        "seconds": _mean([evidence.spent(m, "seconds") for m in models]),
        "worst_attack": robust["attack"],
        "robust_so_far": summary(so_far["values"])["mean"],
        "cells_done": done,
        "cells_total": total,
        "metrics": _metrics(evidence, models),
        "origin": "imported" if origins == {"imported"} else "run",
        "on_front": None,
        "reasons": sorted({*robust["reasons"], *claimed_reasons}),
        "raw": so_far["raw"],
        "models": models,
        "paper": paper_pair(evidence, configuration, budget),
    }
    row["weak_evidence"] = _weaknesses(evidence, row)
    return row


def _mean(values: Sequence[float | None]) -> float | None:
    mean = summary(values)["mean"]
    return None if mean is None else float(mean)


def _utility(evidence: Evidence, model: int | None, seed: int) -> float | None:
    base = evidence.model(evidence.anchor("base"), seed)
    mine = evidence.value(model, evidence.retain, "retain_score")
    reference = evidence.value(base, evidence.retain, "retain_score")
    if mine is None or reference is None:
        return None
    return utility(mine, reference, evidence.retain_scale)


def _compute(evidence: Evidence, model: int | None, seed: int) -> float | None:
    """FLOPs of the model and its ancestors, the base apart, as a share of the oracle's."""
    spent = evidence.spent(model, "flops")
    oracle = evidence.spent(evidence.model(evidence.anchor("oracle"), seed), "flops")
    if model is not None and evidence.rows[model]["stage"] == "base":
        return 0.0 if evidence.rows[model]["state"] == "complete" else None
    return spent / oracle if spent is not None and oracle else None


def _metrics(evidence: Evidence, models: Sequence[int | None]) -> dict[str, Any]:
    found = {}
    for metric, declared in evidence.document["metrics"].items():
        for part in ("forget", "retain"):
            if declared.get("level", "model") == "model":
                values = [evidence.value(model, metric, f"{part}_score") for model in models]
                found[f"{part}_{metric}"] = summary(values)
    return found


def _cell_counts(evidence: Evidence, models: Sequence[int | None]) -> tuple[int, int]:
    done = total = 0
    for attack in evidence.document["attacks"]:
        grid = evidence.grid(attack)
        for model in models:
            total += len(grid)
            done += len(grid & set(evidence.finished(model, attack["name"])))
    return done, total


def _oracle_of(evidence: Evidence, configuration: Mapping[str, Any], position: int) -> int | None:
    """The oracle that a seed's model is scored against; the oracle itself against its twin or the next seed's."""
    seeds, oracle = evidence.document["seeds"], evidence.anchor("oracle")
    if configuration["method"] != "oracle":
        return evidence.model(oracle, seeds[position])
    if "twins" in configuration:
        return evidence.by_fingerprint.get(configuration["twins"][str(seeds[position])])
    if len(seeds) == 1:
        return None
    return evidence.model(oracle, seeds[(position + 1) % len(seeds)])


def _claimed(
    evidence: Evidence, configuration: Mapping[str, Any]
) -> tuple[list[float | None], list[str]]:
    """1 − recovery before any attack, a value a seed."""
    values: list[float | None] = []
    reasons = []
    for position, seed in enumerate(evidence.document["seeds"]):
        base = evidence.model(evidence.anchor("base"), seed)
        oracle = _oracle_of(evidence, configuration, position)
        model = evidence.model(configuration, seed)
        found = [evidence.value(m, evidence.forget, "forget_score") for m in (model, oracle, base)]
        if any(value is None for value in found):
            values.append(None)
            continue
        mine, zero, one = (float(value) for value in found if value is not None)
        error = _paired(evidence.before(base), evidence.before(oracle))
        reason = undefined_because(zero, one, evidence.forget_scale, error)
        reasons += [f"before the attack: {reason}"] if reason else []
        values.append(None if reason else 1 - recovery(mine, zero, one, evidence.forget_scale))
    return values, reasons


def _paired(one: np.ndarray | None, other: np.ndarray | None) -> float | None:
    return None if one is None or other is None else paired_error(one, other)


def _robust(
    evidence: Evidence,
    configuration: Mapping[str, Any],
    budget: int | None,
    teaching: Mapping[str, Any],
    *,
    complete_only: bool,
) -> dict[str, Any]:
    """1 − recovery of the counted attack with the highest mean recovery over seeds, with the evidence for it."""
    best: dict[str, Any] = {"attack": None, "values": [None], "reasons": [], "raw": []}
    best["values"] = [None] * len(evidence.document["seeds"])
    reasons: list[str] = []
    strongest_mean = -np.inf
    for attack in evidence.document["attacks"]:
        if attack["counts"] not in COUNTED or teaching.get(attack["name"], {}).get("teaches"):
            continue
        if not attack["has_steps"] and budget == 0:
            continue
        raw = [
            _seed_evidence(evidence, configuration, attack, position, budget, complete_only)
            for position in range(len(evidence.document["seeds"]))
        ]
        reasons += [f"{attack['name']}: {r['reason']}" for r in raw if r["reason"]]
        values = [None if r["recovery"] is None else 1 - r["recovery"] for r in raw]
        mean = summary(values)["mean"]
        if mean is None:
            if complete_only and any(r["pending"] for r in raw):
                return {"attack": None, "values": values, "reasons": reasons, "raw": raw}
            best["raw"] = best["raw"] or raw
        elif 1 - mean > strongest_mean:
            strongest_mean = 1 - mean
            best = {"attack": attack["name"], "values": values, "reasons": [], "raw": raw}
    return {**best, "reasons": reasons}


def _seed_evidence(
    evidence: Evidence,
    configuration: Mapping[str, Any],
    attack: Mapping[str, Any],
    position: int,
    budget: int | None,
    complete_only: bool,
) -> dict[str, Any]:
    """Everything that one seed's recovery under one attack is made of."""
    seed, name = evidence.document["seeds"][position], attack["name"]
    base = evidence.model(evidence.anchor("base"), seed)
    oracle = _oracle_of(evidence, configuration, position)
    model = evidence.model(configuration, seed)
    shared = set(evidence.finished(model, name)) & set(evidence.finished(oracle, name))
    whole = all(evidence.whole(m, attack) for m in (model, oracle, base))
    mine = evidence.strongest(model, name, budget, shared)
    zero = evidence.strongest(oracle, name, budget, shared)
    one = evidence.value(base, evidence.forget, "forget_score")
    found: dict[str, Any] = {
        "seed": seed,
        "attack": name,
        "base": one,
        "before": evidence.value(model, evidence.forget, "forget_score"),
        "oracle_before": evidence.value(oracle, evidence.forget, "forget_score"),
        "after": mine.score if mine else None,
        "oracle_after": zero.score if zero else None,
        "upper_bound": mine.upper_bound if mine else None,
        "cell": _cell(evidence, mine),
        "oracle_cell": _cell(evidence, zero),
        "items": evidence.counted.get(
            (evidence.evaluations.get(model or -1, -1), evidence.forget, "forget_score")
        ),
        "recovery": None,
        "reason": None,
        "pending": not whole and oracle is not None,
    }
    if oracle is None and configuration["method"] == "oracle":
        found["reason"] = "n/a: the oracle's band needs a second seed or a second oracle"
    if mine is None or zero is None or one is None or (complete_only and not whole):
        return found
    error = _paired(evidence.before(base), evidence.items.get((zero.cell, zero.step)))
    found["reason"] = undefined_because(zero.score, one, evidence.forget_scale, error)
    if found["reason"] is None:
        found["recovery"] = recovery(mine.score, zero.score, one, evidence.forget_scale)
    return found


def _cell(evidence: Evidence, chosen: Strongest | None) -> dict[str, Any] | None:
    if chosen is None:
        return None
    parameters = evidence.rows[chosen.cell]["parameters"]
    return {
        "run": chosen.cell,
        "step": chosen.step,
        "validation": chosen.validation,
        "parameters": parameters,
    }


def _weaknesses(evidence: Evidence, row: Mapping[str, Any]) -> list[str]:
    grid = sum(len(attack["grid"]) for attack in evidence.document["attacks"])
    found = []
    if row["seeds"] == 1:
        found.append("1 seed")
    if grid < SMALL_GRID:
        found.append(f"a grid of {grid}")
    if row["cells_done"] < row["cells_total"]:
        found.append(f"{row['cells_total'] - row['cells_done']} attack cells missing")
    return found


def _points(rows: Sequence[Mapping[str, Any]]) -> tuple[list[int], np.ndarray]:
    """Positions and objectives (all to be minimised) of the rows that have all three and are no anchors."""
    chosen, points = [], []
    for position, row in enumerate(rows):
        means = [row[name]["mean"] for name in OBJECTIVES]
        if row["method"] not in ("base", "oracle") and all(mean is not None for mean in means):
            chosen.append(position)
            signs = [-1.0 if way == "up" else 1.0 for way in OBJECTIVES.values()]
            points.append([sign * mean for sign, mean in zip(signs, means, strict=True)])
    return chosen, np.array(points, dtype=float).reshape(-1, len(OBJECTIVES))


def _mark_front(rows: list[dict[str, Any]]) -> None:
    chosen, points = _points(rows)
    if chosen:
        kept = moocore.is_nondominated(points, keep_weakly=True)
        for position, on_front in zip(chosen, kept, strict=True):
            rows[position]["on_front"] = bool(on_front)


def hypervolume(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """The volume that the front dominates, up to the reference point; None without any complete row."""
    chosen, points = _points(rows)
    if not chosen:
        return None
    signs = [-1.0 if way == "up" else 1.0 for way in OBJECTIVES.values()]
    reference = [s * r for s, r in zip(signs, REFERENCE_POINT.values(), strict=True)]
    return float(moocore.hypervolume(points, ref=reference))
