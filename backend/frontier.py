"""From a study's rows to its frontier: the definitions of recovery, utility and compute, and who is dominated.

Pure pandas and numpy. Unknown numbers are None and never absent or zero.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from backend import badges, objectives
from backend.attack_summary import agreement, by_attack
from backend.controls import oracle_matching, placebo
from backend.evidence import COUNTED, Evidence
from backend.front import OBJECTIVES, REFERENCE_POINT, hypervolume, mark_front
from backend.paper import paper_pair
from backend.stage import UserError
from backend.statistics import summary, whole_mean
from backend.study_metrics import StudyView, add_study_metrics
from backend.tables import frame, relearning_curves

__all__ = ["build", "frame", "relearning_curves"]

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
    stale: Collection[int] = (),
    attacker_flops: float | None = None,
    siblings: Mapping[float, Sequence[Mapping[str, Any]]] | None = None,
    other_items: Mapping[str, Mapping[tuple[int, int], np.ndarray]] | None = None,
) -> dict[str, Any]:
    """The frontier document: one row for each configuration, and what they are measured against.

    `budget` limits the attack's steps: the last evaluated step up to it counts, None means the largest;
    `attacker_flops` limits what one cell may have cost, so that attacks can be compared at equal expense. `stale` are
    runs made by a part's older version; where the study itself holds both, they are found without it. `siblings` are
    the rows of studies whose forget set has another size, by that size; `other_items` what metrics besides the forget
    metric say of every item of the score part.

    Raises:
        UserError: the budget is below 0 or beyond the largest step of any attack, or the FLOPs are not above 0
    """
    if attacker_flops is not None and not 0 < attacker_flops < math.inf:
        raise UserError(f"attacker FLOPs = {attacker_flops:g} must be a finite number above 0.")
    evidence = Evidence(document, runs, inputs, measurements, items, stale, attacker_flops)
    until, largest = _budget(evidence, budget)
    taught = placebo(evidence, until)
    teaching = {name for name, found in taught.items() if found["teaches"]}
    started = any(row.state == "complete" for row in evidence.rows.values())
    rows = (
        [_row(evidence, c, until, teaching) for c in document["configurations"]] if started else []
    )
    mark_front(rows)
    if rows:
        sizes = _with_own_size(document, rows, siblings or {})
        add_study_metrics(StudyView(evidence, rows, sizes, other_items or {}))
    attacks = evidence.attacks
    return {
        "study": document["name"],
        "revision": revision,
        "setting": document["setting"]["name"],
        "budget": largest if until is None else until,
        "budget_asked": budget,
        "attacker_flops": attacker_flops,
        "budgets": evidence.table.steps(),
        "attacks": [
            {
                "name": a["name"],
                "label": a.get("label", a["name"]),
                "has_steps": a["has_steps"],
                "grid_size": len(a["grid"]),
                "steps": a["steps"],
                "counts": a["counts"],
                "teaches": taught.get(a["name"], {}).get("teaches"),
            }
            for a in attacks
        ],
        "attack_grid_size": sum(len(a["grid"]) for a in attacks),
        "anchor": _anchor(evidence),
        "metrics": evidence.metrics,
        "reference": _reference(evidence, rows, until, teaching),
        "placebo": taught,
        "attack_agreement": agreement(rows),
        "oracle_matching": oracle_matching(evidence, until) if started else [],
        "rows": rows,
    }


def _with_own_size(
    document: Mapping[str, Any], rows: Sequence[dict[str, Any]], siblings: Mapping[float, Any]
) -> dict[float, Any]:
    """The rows of the studies that differ in the forget set's size, this one's under its own."""
    size = document["setting"].get("parameters", {}).get("forget_size")
    return {} if size is None else {**siblings, float(size): rows}


def _anchor(evidence: Evidence) -> str:
    return str(evidence.setting.get("anchor") or "oracle")


def _budget(evidence: Evidence, asked: int | None) -> tuple[int | None, int]:
    """The last evaluated step up to the one that was asked for (None without), and the largest possible."""
    largest = max((int(attack["steps"]) for attack in evidence.attacks), default=0)
    if asked is None:
        return None, largest
    if not 0 <= asked <= largest:
        raise UserError(
            f"budget = {asked} must be between 0 and {largest}, the largest step of this study's attacks."
        )
    evaluated = [step for step in evidence.table.steps() if step <= asked]
    return max(evaluated, default=asked), largest


def _reference(
    evidence: Evidence,
    rows: Sequence[Mapping[str, Any]],
    budget: int | None,
    teaching: Collection[str],
) -> dict[str, Any]:
    metric = evidence.forget
    declared = evidence.metrics.get(metric, {})
    return {
        "objectives": OBJECTIVES,
        "hypervolume_point": REFERENCE_POINT,
        "hypervolume": hypervolume(rows),
        "metric_forget": f"forget_{metric}" if metric else None,
        "metric_retain": f"retain_{evidence.retain}" if evidence.retain else None,
        "oracle_after_attack": _oracle_after(evidence, budget, teaching),
        "forget_label": declared.get("label", metric).replace("_", " "),
        "forget_direction": declared.get("direction"),
        "forget_unit": declared.get("unit"),
        "floor": declared.get("floors", {}).get("forget_score"),
    }


def _oracle_after(
    evidence: Evidence, budget: int | None, teaching: Collection[str]
) -> dict[str, Any]:
    """What the strongest counted attack brings out of the oracle, raw; unknown until all its cells are complete."""
    oracles = [evidence.model(evidence.anchor("oracle"), seed) for seed in evidence.seeds]
    found = summary([None] * len(oracles))
    highest = -np.inf
    for position, attack in enumerate(evidence.attacks):
        if attack["counts"] not in COUNTED or attack["name"] in teaching or attack.get("metric"):
            continue
        whole = all(evidence.missing(model, attack) == 0 for model in oracles)
        chosen = [evidence.strongest(m, position, budget) if whole else None for m in oracles]
        here = summary([None if best is None else best.score for best in chosen])
        if here["mean"] is not None and evidence.forget_scale.sign * here["mean"] > highest:
            found, highest = here, evidence.forget_scale.sign * here["mean"]
    return found


def _row(
    evidence: Evidence,
    configuration: Mapping[str, Any],
    budget: int | None,
    teaching: Collection[str],
) -> dict[str, Any]:
    seeds = evidence.seeds_of(configuration)
    models = [evidence.model(configuration, seed) for seed in seeds]
    every = objectives.under_attacks(evidence, configuration, budget)
    robust = objectives.robustness(evidence, configuration, every, teaching)
    claimed, reasons = objectives.claimed(evidence, configuration)
    done, total = _cell_counts(evidence, models)
    origins = {evidence.rows[m].origin for m in models if m is not None}
    compute = objectives.computes(evidence, configuration)
    row: dict[str, Any] = {
        "configuration": configuration["label"],
        "key": configuration["key"],
        "method": configuration["method"],
        "stages": configuration["stages"],
        "seeds": len(seeds),
        "utility": summary(objectives.utilities(evidence, configuration)),
        "claimed_forget_quality": summary(claimed),
        "robust_forget_quality": summary(robust["values"]),
        "compute": summary(compute),
        "flops": whole_mean([evidence.spent(m, "flops") for m in models]),
        "search_flops": evidence.searched(models),
        "lowest_utility": whole_mean(objectives.lowest_utilities(evidence, configuration)),
        "seconds": whole_mean([evidence.spent(m, "seconds") for m in models]),
        "steps": whole_mean([evidence.spent(m, "steps") for m in models]),
        "tokens": whole_mean([evidence.spent(m, "tokens") for m in models]),
        "peak_memory": whole_mean([_own(evidence, m, "peak_memory") for m in models]),
        "inference_overhead": whole_mean([evidence.overhead(m) for m in models]),
        "worst_attack": robust["attack"],
        "robust_so_far": robust["so_far"],
        "cells_done": done,
        "cells_total": total,
        "metrics": objectives.metrics(evidence, models),
        "pair_metrics": objectives.metrics(evidence, models, "pair"),
        "origin": "imported" if origins == {"imported"} else "run",
        "on_front": None,
        "front_probability": None,
        "hypervolume_contribution": None,
        "reasons": reasons + robust["reasons"],
        "label_fraction": None
        if origins == {"imported"}
        else _label_fraction(configuration["stages"]),
        "badges": badges.of_recipe(configuration["stages"]),
        "models": models,
        "raw": robust["raw"],
        "chosen_cells": _chosen(robust),
        "paper": paper_pair(evidence, configuration, budget),
        "attacks": by_attack(evidence, configuration, every, budget),
    }
    row["weak_evidence"] = _weaknesses(evidence, row)
    return row


def _label_fraction(stages: Sequence[Mapping[str, Any]]) -> float:
    """The share of the forget items that the recipe knows to be such."""
    told = [stage["parameters"]["labels"] for stage in stages if "labels" in stage["parameters"]]
    return float(told[-1]["fraction"]) if told else 1.0


def _own(evidence: Evidence, model: int | None, column: str) -> float | None:
    value = None if model is None else getattr(evidence.rows[model], column)
    return None if value is None else float(value)


def _chosen(robust: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Which cell and step counted for each seed under the worst attack; nothing while that is unknown."""
    mine = (one for one in robust["raw"] if one["attack"] == robust["attack"])
    return [{"seed": one["seed"], **one["cell"]} for one in mine if one["cell"]]


def _cell_counts(evidence: Evidence, models: Sequence[int | None]) -> tuple[int, int]:
    """Complete and planned attack cells of a configuration's models, over all attacks and seeds."""
    total = sum(len(attack["grid"]) for attack in evidence.attacks) * len(models)
    lacking = sum(evidence.missing(m, attack) for m in models for attack in evidence.attacks)
    return total - lacking, total


def _weaknesses(evidence: Evidence, row: Mapping[str, Any]) -> list[str]:
    """What a reader should know before leaning on a row."""
    grid = sum(len(a["grid"]) for a in evidence.attacks if a["counts"] in COUNTED)
    found = ["not run here"] if row["origin"] == "imported" else []
    found += ["1 seed"] if row["seeds"] == 1 else []
    if grid < SMALL_GRID and row["origin"] == "run":
        found.append(f"attack grid of {grid}")
    lacking = row["cells_total"] - row["cells_done"]
    if lacking:
        found.append(f"{lacking} attack cell{'s' if lacking > 1 else ''} missing")
    if evidence.stale and _is_stale(evidence, row):
        found.append("stale code")
    return found


def _is_stale(evidence: Evidence, row: Mapping[str, Any]) -> bool:
    models = [m for m in row["models"] if m is not None]
    behind = {run for m in models for run in evidence.ancestors(m)}
    behind |= {run for m in models for run in evidence.evaluations.get(m, [])}
    behind |= {one["cell"]["run"] for one in row["raw"] if one["cell"]}
    return bool(behind & evidence.stale)
