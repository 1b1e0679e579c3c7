"""Tables that charts, exports and pages draw from: one row a configuration, and the curves of every attack cell."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from backend.evidence import Evidence
from backend.recovery import envelope

INTERVALS = ("utility", "claimed_forget_quality", "robust_forget_quality", "compute")


def frame(document: Mapping[str, Any]) -> pd.DataFrame:
    """The frontier document as a table, one row a configuration: what charts, tables and CSV are made from.

    Every objective has the columns NAME, NAME_low, NAME_high; `complete` says that no attack cell is missing.
    """
    rows = []
    for row in document["rows"]:
        flat = {
            key: row[key]
            for key in (
                "configuration", "key", "method", "seeds", "on_front", "worst_attack",
                "robust_so_far", "cells_done", "cells_total", "flops", "seconds", "origin",
            )
        }  # fmt: skip
        for name in INTERVALS:
            for end, column in (("mean", name), ("low", f"{name}_low"), ("high", f"{name}_high")):
                flat[column] = row[name][end]
        for name, found in row["metrics"].items():
            flat[name] = found["mean"]
        flat["complete"] = row["cells_done"] == row["cells_total"]
        flat["alpha"] = next(
            (s["parameters"]["alpha"] for s in row["stages"] if s["name"] == "undo"), None
        )
        flat["relative_robustness"] = row["paper"]["relative_robustness"]["mean"]
        flat["relative_compute_steps"] = row["paper"]["relative_compute_steps"]["mean"]
        flat["weak_evidence"] = "; ".join(row["weak_evidence"])
        flat["grid_size"] = document["attack_grid_size"]
        flat["budget"] = document["budget"]
        rows.append(flat)
    return pd.DataFrame(rows)


def relearning_curves(
    document: Mapping[str, Any], runs: pd.DataFrame, measurements: pd.DataFrame
) -> pd.DataFrame:
    """Every complete attack cell along its steps, and the worst case A_m(t) as the cell "worst case".

    Columns: configuration, method, seed, attack, cell, step, validation, score.
    """
    empty = pd.DataFrame({"run": [], "role": [], "position": [], "input": []})
    evidence = Evidence(document, runs, empty, measurements)
    parts = []
    for configuration in document["configurations"]:
        for seed in document["seeds"]:
            model = evidence.model(configuration, seed)
            for attack in document["attacks"]:
                cells = evidence.finished(model, attack["name"])
                curves = [(r, evidence.curves[r]) for r in cells.values() if r in evidence.curves]
                named = [c.assign(cell=_cell_label(evidence, r, attack)) for r, c in curves]
                if named and evidence.whole(model, attack):
                    worst = envelope(pd.concat([c for _, c in curves]), evidence.forget_scale)
                    named.append(worst.assign(cell="worst case"))
                for curve in named:
                    about = {
                        "configuration": configuration["label"],
                        "method": configuration["method"],
                    }
                    parts.append(curve.assign(**about, seed=seed, attack=attack["name"]))
    columns = ["configuration", "method", "seed", "attack", "cell", "step", "validation", "score"]
    found = pd.concat(parts) if parts else pd.DataFrame(columns=columns)
    return found.reindex(columns=columns).reset_index(drop=True)


def _cell_label(evidence: Evidence, run: int, attack: Mapping[str, Any]) -> str:
    """What tells a cell from its neighbours in the grid."""
    parameters = evidence.rows[run]["parameters"]
    told = {
        key: value
        for key, value in parameters.items()
        if any(cell.get(key) != value for cell in attack["grid"]) and key != "target"
    }
    names = {"learning_rate": "rate"}
    return (
        ", ".join(
            f"{names.get(k, k)} {v:g}" if isinstance(v, float) else f"{k} {v}"
            for k, v in told.items()
        )
        or "only cell"
    )
